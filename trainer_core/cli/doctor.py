"""`doctor`: one page about this installation to paste into a bug report."""

import argparse
from pathlib import Path

from trainer_core.cli.shared import PATHS, Commands
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.user_path import user_path
from trainer_core.planning.doctor import page
from trainer_core.planning.doctor_subject import DataCount


def add(commands: Commands) -> None:
    text = (
        "Print one page to paste into a bug report: versions, PyTorch, GPUs, what a config or run looks like. "
        "Tokens, prompts, your name and your home folder are left out."
    )
    command = commands.add_parser("doctor", help="a page for a bug report", description=f"{text} {PATHS}")
    command.add_argument(
        "subject", type=user_path, nargs="?", metavar="CONFIG_OR_RUN", help="a config file or run folder"
    )
    command.set_defaults(run=_doctor)


def _doctor(options: argparse.Namespace) -> None:
    print(page(options.subject, count=_count), end="")


def _count(config: TrainConfig) -> DataCount:
    from trainer_core.dataset.scan import scan_dataset

    scan = scan_dataset(Path(config.train_data_dir), strict=False)
    captionless = sum(not item.caption for item in scan.items)
    repeated = sum(item.repeats for item in scan.items)
    line = f"{len(scan.items)} images ({repeated} with repeats), {captionless} without caption, "
    return DataCount(images=len(scan.items), captionless=captionless, line=f"{line}{len(scan.problems)} warnings")
