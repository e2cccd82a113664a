"""`convert-lora`: a LoRA as a ComfyUI file, a PEFT folder or a file for diffusers."""

import argparse

from trainer_core.cli.shared import PATHS, Commands, note
from trainer_core.contracts.forms import DTYPES, LORA_FORMS
from trainer_core.contracts.user_path import user_path


def add(commands: Commands) -> None:
    text = (
        "Write a LoRA in another form: one file for ComfyUI, a PEFT folder or one file for diffusers. What it does "
        "stays the same; its metadata is kept."
    )
    command = commands.add_parser("convert-lora", help="convert a LoRA's form", description=f"{text} {PATHS}")
    command.add_argument("source", type=user_path, metavar="IN", help="a LoRA file, PEFT folder or run folder")
    command.add_argument(
        "output", type=user_path, metavar="OUT", help="new .safetensors file (ComfyUI, diffusers) or folder (PEFT)"
    )
    command.add_argument("--to", choices=LORA_FORMS, help="the form (default: by OUT's name comfyui or peft)")
    command.add_argument("--base", type=user_path, help="base model; needed where a DoRA changes its form")
    command.add_argument("--dtype", choices=DTYPES, default="keep", help="of A and B (default: %(default)s)")
    command.set_defaults(run=_convert)


def _convert(options: argparse.Namespace) -> None:
    from trainer_core.tools.lora_convert import convert, form_of

    form = options.to or form_of(options.output)
    print(convert(options.source, options.output, form=form, base=options.base, dtype=options.dtype, tell=note))
