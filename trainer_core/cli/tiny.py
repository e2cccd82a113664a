"""`tiny build`: the built-in base from nothing."""

import argparse
from pathlib import Path

from trainer_core.cli.shared import PATHS, Commands
from trainer_core.contracts.user_path import user_path
from trainer_core.planning.demo import TINY_BASE


def add(commands: Commands) -> None:
    text = "Build the built-in base from nothing (most of an hour on two cores; after a kill run it again)."
    command = commands.add_parser("tiny", help="rebuild the built-in base", description=f"{text} {PATHS}")
    command.add_argument("action", choices=("build",))
    command.add_argument("--output", type=user_path, default=TINY_BASE, help="where to put it (default: %(default)s)")
    command.add_argument("--work", type=user_path, default=Path("build/tiny"), help="progress (default: %(default)s)")
    command.set_defaults(run=_tiny)


def _tiny(options: argparse.Namespace) -> None:
    from trainer_core.tools.tiny.build import build

    build(options.output, options.work)
