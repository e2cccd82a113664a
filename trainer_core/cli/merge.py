"""`merge`: write base + LoRAs as a new model."""

import argparse
from pathlib import Path

from trainer_core.cli.shared import PATHS, Commands, add_loras, loras_of


def add(commands: Commands) -> None:
    text = "Write a new model folder: base + LoRAs. Unchanged files are hard-linked where the disk allows it."
    command = commands.add_parser("merge", help="merge LoRAs into a base", description=f"{text} {PATHS}")
    command.add_argument("--base", type=Path, required=True, help="base model folder")
    add_loras(command, required=True)
    command.add_argument("--output", type=Path, required=True, help="new folder")
    command.set_defaults(run=_merge)


def _merge(options: argparse.Namespace) -> None:
    from trainer_core.tools.merge import merge

    folder = merge(
        options.base,
        loras_of(options),
        options.output,
        lambda name, done, total: print(f"{name} {done}/{total}"),
    )
    print(folder)
