"""`train`: train a LoRA, or continue the run that a config names."""

import argparse
from pathlib import Path

from trainer_core.cli.shared import PATHS, Commands, config_of
from trainer_core.contracts.config import TrainConfig


def add(commands: Commands) -> None:
    text = "Train a LoRA, or continue the run that the config names. Stop with Ctrl+C: it saves first."
    command = commands.add_parser("train", help="train a LoRA from a TOML config", description=f"{text} {PATHS}")
    command.add_argument("config", type=Path, help="TOML config (see config_template.toml), or a run folder")
    command.add_argument(
        "--check", action="store_true", help="list each image's bucket and what is cropped; train nothing"
    )
    command.set_defaults(run=_train)


def _train(options: argparse.Namespace) -> None:
    config, notes = config_of(options.config)
    for note in notes:
        print(f"note: {note}")
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
