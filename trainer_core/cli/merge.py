"""`merge`: write base + LoRAs as a new model; and the classic merge_lora.py's own arguments for it."""

import argparse
from collections.abc import Sequence

from trainer_core.cli.shared import PATHS, Commands, Progress, add_loras, loras_of, note
from trainer_core.contracts.forms import DTYPES
from trainer_core.contracts.user_path import user_path


def add(commands: Commands) -> None:
    text = (
        "Write a new model: base + LoRAs. An output that ends in .safetensors becomes one diffusion model file for "
        "ComfyUI, anything else a model folder, in which large unchanged files are hard-linked where the disk allows "
        "it."
    )
    command = commands.add_parser("merge", help="merge LoRAs into a base", description=f"{text} {PATHS}")
    command.add_argument("--base", type=user_path, required=True, help="base model folder")
    add_loras(command, required=True)
    command.add_argument("--output", type=user_path, required=True, help="new folder, or new .safetensors file")
    command.add_argument("--dtype", choices=DTYPES, default="keep", help="of the transformer (default: %(default)s)")
    command.set_defaults(run=_merge)


def _merge(options: argparse.Namespace) -> None:
    from trainer_core.tools.merge import merge

    print(merge(options.base, loras_of(options), options.output, Progress("merging"), note, dtype=options.dtype))


def classic(arguments: Sequence[str] | None = None) -> int:
    """The command line of upstream's merge_lora.py; exit codes as `trainer_core.cli.main`."""
    from trainer_core.cli import main

    parser = argparse.ArgumentParser(
        prog="merge_lora.py",
        description=f"Merge LoRAs into a base model (the same as `python -m trainer_core merge`). {PATHS}",
        allow_abbrev=False,
    )
    parser.add_argument("--base_model_path", "--base_model", required=True, help="base model folder")
    parser.add_argument("--lora_path", action="append", required=True, help="LoRA file, PEFT or run folder; repeatable")
    parser.add_argument("--output_path", required=True, help="new folder, or new .safetensors file for ComfyUI")
    parser.add_argument("--strength", action="append", default=[], help="one for all, or one for each --lora_path")
    parser.add_argument("--trust_remote_code", action="store_true", help="ignored: no code of a model is ever run")
    parser.add_argument("--device", help="ignored: merging works tensor by tensor on the CPU")
    options = parser.parse_args(arguments)
    if options.trust_remote_code:
        note("--trust_remote_code is ignored: no code of a model is ever run.")
    if options.device:
        note(f"--device {options.device} is ignored: merging works tensor by tensor on the CPU.")
    strengths = options.strength or ["1"]
    if len(strengths) == 1:
        strengths *= len(options.lora_path)
    if len(strengths) != len(options.lora_path):
        parser.error(f"{len(strengths)} --strength for {len(options.lora_path)} --lora_path; give one, or one for each")
    loras = [f"--lora={path}={strength}" for path, strength in zip(options.lora_path, strengths, strict=True)]
    return main(["merge", f"--base={options.base_model_path}", *loras, f"--output={options.output_path}"])
