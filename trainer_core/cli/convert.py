"""`convert`: any layout of the base -> the official folder or ComfyUI's file; and the classic converter's flags."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from trainer_core.cli.shared import PATHS, Commands, Progress, tell
from trainer_core.contracts.base_part import BY_KIND
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import BASE_FORMS, BASE_SOURCES, DTYPES
from trainer_core.contracts.user_path import user_path
from trainer_core.planning.hub_place import NEWBIE

GEMMA = "google/gemma-3-4b-it"
JINA = "jinaai/jina-clip-v2"


def add(commands: Commands) -> None:
    text = (
        "Convert a base model between layouts. --to official writes the whole folder (parts that are not in SOURCE are "
        "given by --gemma, --clip and --vae, each a path or a hub id); --to comfyui writes the transformer as one "
        "file for ComfyUI's diffusion_models folder. Large unchanged files are hard-linked where the disk allows it."
    )
    command = commands.add_parser("convert", help="convert a base between layouts", description=f"{text} {PATHS}")
    command.add_argument("source", metavar="SOURCE", help=BASE_SOURCES)
    command.add_argument("--output", type=user_path, required=True, help="new folder, or new .safetensors file")
    command.add_argument("--to", choices=BASE_FORMS, default=BASE_FORMS[0], help="default: %(default)s")
    for flag in BY_KIND:
        command.add_argument(f"--{flag}", metavar="PATH", help=f"another {flag} than SOURCE's: a path or a hub id")
    command.add_argument("--dtype", choices=DTYPES, default="keep", help="of the new weights; default: %(default)s")
    command.add_argument("--token", help="hub token for gated or private repositories (default: HF_TOKEN)")
    command.set_defaults(run=_convert, online=True)


def _convert(options: argparse.Namespace) -> None:
    from trainer_core.model.hub import resolve_part
    from trainer_core.tools.conversion import Conversion, convert

    parts = {flag: value for flag in BY_KIND if (value := getattr(options, flag)) is not None}
    wanted = Conversion(source=options.source, output=options.output, form=options.to, dtype=options.dtype, parts=parts)
    try:
        print(convert(wanted, lambda text, kind: resolve_part(text, kind, options.token), Progress("converting")))
    except UserError as error:
        if error.code not in ("base_incomplete", "base_ambiguous"):
            raise
        # What is missing is named as this command calls it.
        hint = "Here --transformer, --gemma, --clip and --vae give a part, by path or by hub id (org/name)."
        raise UserError(error.code, error.message, [hint, *error.hints]) from error


def classic(arguments: Sequence[str] | None = None) -> int:
    """The command line of upstream's convert_newbie_to_diffusers.py, carried out by `convert`."""
    from trainer_core.cli import main

    options = _classic_parser().parse_args(arguments)
    for flag in ("push_to_hub", "hub_repo_id"):
        if getattr(options, flag):
            hint = "Convert first, then upload the folder yourself: hf upload <your name>/<repo> <folder>"
            tell(UserError("not_uploaded", f"--{flag}: nothing is uploaded from here.", [hint]))
            return 2
    if options.model_name:
        print(f"--model_name {options.model_name}: not needed, the sizes are read from the checkpoint.")
    try:
        checkpoint = user_path(options.checkpoint)
    except UserError as error:
        tell(error)
        return 1
    beside = checkpoint.parent
    output = options.output or str(beside / "diffusers")
    command = ["convert", options.checkpoint, "--output", output, "--dtype", options.dtype]
    for flag, value, default in _classic_parts(options, checkpoint):
        if value or default:
            command += [f"--{flag}", value or default]
    if options.hf_token:
        command += ["--token", options.hf_token]
    return main(command)


def _classic_parts(options: argparse.Namespace, checkpoint: Path) -> list[tuple[str, str | None, str]]:
    """(flag, given, default); a checkpoint that is a whole base brings its own parts."""
    whole = checkpoint.is_dir() and all((checkpoint / name).is_dir() for name in ("transformer", "text_encoder", "vae"))
    near = [place for place in (checkpoint.parent / "vae", checkpoint.parent / "ae.safetensors") if place.exists()]
    vae = str(near[0]) if near else NEWBIE
    return [
        ("gemma", options.gemma3, "" if whole else GEMMA),
        ("clip", options.jina, "" if whole else JINA),
        ("vae", options.vae, "" if whole else vae),
    ]


def _classic_parser() -> argparse.ArgumentParser:
    text = "Convert a NewBie checkpoint (.pth, .safetensors, or its folder) to the official diffusers-style folder."
    parser = argparse.ArgumentParser(prog="convert_newbie_to_diffusers.py", description=f"{text} {PATHS}")
    parser.add_argument("--checkpoint", required=True, help="the transformer's file or folder, or a whole base")
    parser.add_argument("--gemma3", help=f"Gemma3: a path or a hub id (default: {GEMMA})")
    parser.add_argument("--jina", help=f"Jina CLIP: a path or a hub id (default: {JINA})")
    parser.add_argument("--vae", help=f"VAE: a path or a hub id (default: vae/ beside the checkpoint, else {NEWBIE})")
    parser.add_argument("--output", help="new folder (default: diffusers, beside the checkpoint)")
    parser.add_argument("--dtype", choices=DTYPES[1:], default="bf16", help="default: %(default)s")
    parser.add_argument("--hf_token", help="hub token (default: HF_TOKEN)")
    parser.add_argument("--model_name", help="accepted, not needed: sizes are read from the checkpoint")
    parser.add_argument("--push_to_hub", action="store_true", help="not done here: use `hf upload`")
    parser.add_argument("--hub_repo_id", help="not done here: use `hf upload`")
    return parser
