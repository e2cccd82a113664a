"""`sample`: make pictures from a base model, with or without LoRAs."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer_core.cli.shared import PATHS, Commands, add_loras, loras_of, note
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.options import checked, specs_of
from trainer_core.contracts.sampling_limits import CFG, SEED, SHIFT, SIDE, STEPS
from trainer_core.contracts.user_path import user_path
from trainer_core.planning.demo import TINY_BASE

if TYPE_CHECKING:
    from PIL.Image import Image

_LIMITS = ("max_gemma_tokens", "max_jina_tokens")
_SIZE = re.compile(r"([0-9]{2,4})x([0-9]{2,4})")
_PICTURE = re.compile(r"([0-9]{2,9})-seed-[0-9]+\.png")


def add(commands: Commands) -> None:
    text = "Make pictures from a base model, with or without LoRAs."
    command = commands.add_parser("sample", help="make pictures", description=f"{text} {PATHS}")
    command.add_argument(
        "--base", type=user_path, default=TINY_BASE, help="base model folder (default: the built-in one)"
    )
    add_loras(command, required=False)
    command.add_argument("--prompt", action="append", required=True, help="what to draw; may be given several times")
    command.add_argument("--negative", default="", help="negative prompt (default: empty)")
    command.add_argument(
        "--size", help="WIDTHxHEIGHT in px, multiples of 16 (default: 1024x1024; 128x128 for the built-in base)"
    )
    command.add_argument(
        "--steps", type=int, default=STEPS[2], help=f"Euler steps, {STEPS[0]} to {STEPS[1]} (default: %(default)s)"
    )
    command.add_argument("--cfg", type=float, default=CFG[2], help="guidance scale (default: %(default)s)")
    command.add_argument("--shift", type=float, default=SHIFT[2], help="time shift (default: %(default)s)")
    command.add_argument("--seed", type=int, default=SEED[2], help="seed of the first picture (default: %(default)s)")
    command.add_argument(
        "--system-prompt",
        help="what Gemma reads before every prompt (default: what the first LoRA was trained with, else the base)",
    )
    for name in _LIMITS:
        text = "longer prompts are cut (default: as trained)"
        command.add_argument(f"--{name.replace('_', '-')}", type=int, metavar="TOKENS", help=text)
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    command.add_argument(
        "--output", type=user_path, default=Path("samples"), help="folder (default: %(default)s); pictures in it stay"
    )
    command.set_defaults(run=_sample)


def _sample(options: argparse.Namespace) -> None:
    width, height = _size(options.size or ("128x128" if options.base == TINY_BASE else "1024x1024"))
    for name, (low, high, _) in {"steps": STEPS, "cfg": CFG, "shift": SHIFT, "seed": SEED}.items():
        value = getattr(options, name)
        if not low <= value <= high:
            raise UserError("setting_invalid", f"--{name} {value}; allowed: {low} to {high}.")
    text = _text(options)
    _require_folder_name(options.output)
    from trainer_core.tools.generate import PictureRequest, generate
    from trainer_core.tools.outputs import require_folder, writing
    from trainer_core.training.device import pick_device
    from trainer_core.training.sampling import SampleSettings, save_png

    requests = [
        PictureRequest(
            settings=SampleSettings(
                prompt=prompt, negative_prompt=options.negative, width=width, height=height, steps=options.steps,
                cfg=options.cfg, shift=options.shift, seed=options.seed + number,
            )
        )
        for number, prompt in enumerate(options.prompt)
    ]  # fmt: skip

    require_folder(options.output)
    first = _next_number(options.output)

    def generated(index: int, request: PictureRequest, image: "Image") -> None:
        file = options.output / f"{first + index:02d}-seed-{request.settings.seed}.png"
        with writing(file):
            save_png(image, file, request.settings)
        print(file)

    device = pick_device(options.device)
    generate(options.base, loras_of(options), requests, device=device, generated=generated, tell=note, text=text)


def _require_folder_name(output: Path) -> None:
    """Raises UserError `output_invalid` for what reads as one picture's name."""
    from trainer_core.dataset.images import SUFFIXES

    if output.suffix.lower() in SUFFIXES and not output.exists():
        raise UserError(
            "output_invalid",
            f"--output {output} is the folder that the pictures are put into, but is named like a picture.",
            [f"Write a folder (--output {output.with_suffix('')}); each picture gets a name of its own in it."],
        )


def _text(options: argparse.Namespace) -> dict[str, Any]:
    """What was asked for of how prompts are read, by field of `TextSettings`. Raises UserError `setting_invalid`."""
    text: dict[str, Any] = {name: value for name in _LIMITS if (value := getattr(options, name)) is not None}
    for spec in (spec for spec in specs_of(TrainConfig) if spec.name in text):
        try:
            checked(spec, text[spec.name])
        except ValueError as error:
            raise UserError("setting_invalid", f"--{spec.name.replace('_', '-')} {error}.") from error
    if options.system_prompt is not None:
        text |= dict.fromkeys(("system_prompt_tags", "system_prompt_xml"), options.system_prompt)
    return text


def _next_number(folder: Path) -> int:
    """The number of the next picture: those of earlier calls stay."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return max((int(found[1]) + 1 for name in names if (found := _PICTURE.fullmatch(name))), default=0)


def _size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text.lower())
    width, height = (int(side) for side in found.groups()) if found else (0, 0)
    low, high, step = SIDE
    if not all(low <= side <= high and side % step == 0 for side in (width, height)):
        allowed = f"each {low} to {high} in multiples of {step}"
        raise UserError("size_invalid", f"--size {text}; write WIDTHxHEIGHT, {allowed}.")
    return width, height
