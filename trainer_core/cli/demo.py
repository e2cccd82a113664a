"""`demo`: the main job on the built-in base."""

import argparse
from pathlib import Path

from trainer_core.cli.shared import PATHS, Commands
from trainer_core.contracts.user_path import user_path
from trainer_core.planning.demo import TINY_BASE


def add(commands: Commands) -> None:
    text = "The main job on the built-in base, without a GPU: draw a character, train a LoRA on it, sample, merge."
    command = commands.add_parser("demo", help="watch a LoRA train in minutes", description=f"{text} {PATHS}")
    command.add_argument("--output", type=user_path, default=Path("output/demo"), help="folder (default: %(default)s)")
    command.add_argument("--keep", action="store_true", help="continue an earlier demo instead of starting anew")
    command.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from trainer_core.tools.demo import run_demo

    if run_demo(TINY_BASE, options.output, keep=options.keep):
        return 0
    print("The demo was stopped and saved; with --keep added the same command goes on.")
    return 130
