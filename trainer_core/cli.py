"""The command line: train, sample, merge, cache, demo, tiny.

Nothing heavy is imported before the arguments are known to be good, so `--help` is quick.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from trainer_core.contracts.config import TrainConfig, load_config
from trainer_core.contracts.errors import ConfigError, UserError

PATHS = "Paths that are not absolute mean the current folder."
TINY_BASE = Path(__file__).parents[1] / "assets" / "newbie-tiny"


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done or stopped on request, 1 something the user can mend, 2 a bad config or command line."""
    options = _parser().parse_args(arguments)
    # Nothing is fetched and nothing is reported home unless a command exists for it.
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    _quieten()
    try:
        return int(options.run(options) or 0)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        for hint in error.hints:
            print(f"  - {hint}", file=sys.stderr)
        return 2 if isinstance(error, ConfigError) else 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _quieten() -> None:
    """Keep libraries' notes about things we do on purpose (a Jina tower of our own, no 4-bit kernels) off the page."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    logging.getLogger("diffusers").setLevel(logging.ERROR)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer_core", description=f"Train, try and merge LoRAs for NewBie-image. {PATHS}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_train(commands)
    _add_sample(commands)
    _add_merge(commands)
    _add_cache(commands)
    _add_demo(commands)
    _add_tiny(commands)
    return parser


def _add_train(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "Train a LoRA, or continue the run that the config names. Stop with Ctrl+C: it saves first."
    command = commands.add_parser("train", help="train a LoRA from a TOML config", description=f"{text} {PATHS}")
    command.add_argument("config", type=Path, help="TOML config (see config_template.toml), or a run folder")
    command.add_argument(
        "--check", action="store_true", help="list each image's bucket and what is cropped; train nothing"
    )
    command.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    file = options.config / "config.toml" if options.config.is_dir() else options.config
    config = load_config(file)
    if options.config.is_dir():
        # The folder given is the one to continue, wherever it was moved to or is called from.
        run = options.config.resolve()
        config = replace(config, output_dir=str(run.parent), output_name=run.name)
    if options.check:
        _check_data(config)
        return
    from trainer_core.training.run import run_training

    print(run_training(config))


def _check_data(config: TrainConfig) -> None:
    from trainer_core.dataset.buckets import BucketPlan
    from trainer_core.dataset.scan import scan_dataset

    scan = scan_dataset(Path(config.train_data_dir), strict=config.strict_data)
    plan = BucketPlan.from_config(config)
    for item in scan.items:
        goal = plan.assign(item.width, item.height)
        bucket = f"{goal.bucket[0]}x{goal.bucket[1]}"
        size = f"{item.width}x{item.height}"
        print(f"{bucket:>10}  cropped {goal.crop_loss:5.1%}  x{item.repeats}  {size:>10}  {item.relative}")
    for problem in scan.problems:
        print(f"warning: {problem.message}")
    images = sum(item.repeats for item in scan.items)
    print(f"{len(scan.items)} images, {images} an epoch with repeats, {len(scan.problems)} warnings")


def _add_sample(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "Make pictures from a base model, with or without LoRAs."
    command = commands.add_parser("sample", help="make pictures", description=f"{text} {PATHS}")
    command.add_argument("--base", type=Path, default=TINY_BASE, help="base model folder (default: the built-in one)")
    _add_loras(command, required=False)
    command.add_argument("--prompt", action="append", required=True, help="what to draw; may be given several times")
    command.add_argument("--negative", default="", help="negative prompt (default: empty)")
    command.add_argument(
        "--size", help="WIDTHxHEIGHT in px, multiples of 16 (default: 1024x1024; 128x128 for the built-in base)"
    )
    command.add_argument("--steps", type=int, default=24, help="Euler steps, 1 to 1000 (default: %(default)s)")
    command.add_argument("--cfg", type=float, default=4.5, help="guidance scale (default: %(default)s)")
    command.add_argument("--shift", type=float, default=6.0, help="time shift (default: %(default)s)")
    command.add_argument("--seed", type=int, default=42, help="seed of the first picture (default: %(default)s)")
    command.add_argument("--device", default="auto", choices=("auto", "cpu", "cuda"))
    command.add_argument("--output", type=Path, default=Path("samples"), help="folder (default: %(default)s)")
    command.set_defaults(run=_sample)


def _sample(options: argparse.Namespace) -> None:
    width, height = _size(options.size or ("128x128" if options.base == TINY_BASE else "1024x1024"))
    for name, low, high in (("steps", 1, 1000), ("cfg", 0, 100), ("shift", 0.01, 100)):
        value = getattr(options, name)
        if not low <= value <= high:
            raise UserError("setting_invalid", f"--{name} {value}; allowed: {low} to {high}.")
    from trainer_core.tools.painter import paint
    from trainer_core.training.run import pick_device
    from trainer_core.training.sampling import SampleSettings, save_png

    wanted = [
        SampleSettings(
            prompt=prompt, negative_prompt=options.negative, width=width, height=height, steps=options.steps,
            cfg=options.cfg, shift=options.shift, seed=options.seed + number,
        )
        for number, prompt in enumerate(options.prompt)
    ]  # fmt: skip

    def painted(index: int, settings: SampleSettings, image: object) -> None:
        file = options.output / f"{index:02d}-seed-{settings.seed}.png"
        save_png(image, file, settings)  # type: ignore[arg-type]
        print(file)

    paint(options.base, _loras(options), wanted, device=pick_device(options.device), painted=painted)


def _size(text: str) -> tuple[int, int]:
    parts = text.lower().split("x")
    if len(parts) != 2 or not all(part.isdigit() and 64 <= int(part) <= 2048 and int(part) % 16 == 0 for part in parts):
        raise UserError("size_invalid", f"--size {text}; write WIDTHxHEIGHT, each 64 to 2048 in multiples of 16.")
    return int(parts[0]), int(parts[1])


def _add_loras(command: argparse.ArgumentParser, *, required: bool) -> None:
    text = "a LoRA file, PEFT folder or run folder (its newest export), with an optional strength; may be repeated"
    command.add_argument("--lora", action="append", default=[], required=required, metavar="PATH[=STRENGTH]", help=text)


def _loras(options: argparse.Namespace) -> list[tuple[Path, float]]:
    return [_lora(text) for text in options.lora]


def _lora(text: str) -> tuple[Path, float]:
    path, mark, strength = text.rpartition("=")
    if not mark or Path(text).exists():
        return Path(text), 1.0
    try:
        return Path(path), float(strength)
    except ValueError as error:
        raise UserError("strength_invalid", f"--lora {text}: '{strength}' is not a number.") from error


def _add_merge(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "Write a new model folder: base + LoRAs. Unchanged files are hard-linked where the disk allows it."
    command = commands.add_parser("merge", help="merge LoRAs into a base", description=f"{text} {PATHS}")
    command.add_argument("--base", type=Path, required=True, help="base model folder")
    _add_loras(command, required=True)
    command.add_argument("--output", type=Path, required=True, help="new folder")
    command.set_defaults(run=_merge)


def _merge(options: argparse.Namespace) -> None:
    from trainer_core.tools.merge import merge

    folder = merge(
        options.base,
        _loras(options),
        options.output,
        lambda name, done, total: print(f"{name} {done}/{total}"),
    )
    print(folder)


def _add_cache(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "Look after a feature cache: how large it is, --verify (rehash every entry), --clear."
    command = commands.add_parser("cache", help="check or clear the feature cache", description=f"{text} {PATHS}")
    command.add_argument("folder", type=Path, nargs="?", default=Path("output/.cache"), help="default: %(default)s")
    action = command.add_mutually_exclusive_group()
    action.add_argument("--verify", action="store_true", help="rehash every entry; remove the damaged ones")
    action.add_argument("--clear", action="store_true", help="remove everything in it")
    command.set_defaults(run=_cache)


def _cache(options: argparse.Namespace) -> int:
    from trainer_core.training.cache import FeatureCache

    if not options.folder.is_dir():
        raise UserError("cache_missing", f"{options.folder} is not a folder; caches lie in <output_dir>/.cache.")
    cache = FeatureCache(options.folder)
    if options.clear:
        entries, size = cache.clear()
        print(f"removed {entries} entries, {size / 2**20:.1f} MiB")
        return 0
    files = list(cache.entries())
    print(f"{len(files)} entries, {sum(file.stat().st_size for file in files) / 2**20:.1f} MiB")
    damaged = cache.verify() if options.verify else []
    for file in damaged:
        print(f"damaged, removed (it will be made again): {file}")
    return 1 if damaged else 0


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "The main job on the built-in base, without a GPU: draw a character, train a LoRA on it, sample, merge."
    command = commands.add_parser("demo", help="watch a LoRA train in minutes", description=f"{text} {PATHS}")
    command.add_argument("--output", type=Path, default=Path("output/demo"), help="folder (default: %(default)s)")
    command.add_argument("--keep", action="store_true", help="continue an earlier demo instead of starting anew")
    command.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> None:
    from trainer_core.tools.demo import run_demo

    run_demo(TINY_BASE, options.output, keep=options.keep)


def _add_tiny(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    text = "Build the built-in base from nothing (most of an hour on two cores; after a kill run it again)."
    command = commands.add_parser("tiny", help="rebuild the built-in base", description=f"{text} {PATHS}")
    command.add_argument("action", choices=("build",))
    command.add_argument("--output", type=Path, default=TINY_BASE, help="where to put it (default: %(default)s)")
    command.add_argument("--work", type=Path, default=Path("build/tiny"), help="progress (default: %(default)s)")
    command.set_defaults(run=_tiny)


def _tiny(options: argparse.Namespace) -> None:
    from trainer_core.tools.tiny.build import build

    build(options.output, options.work)
