"""The text to paste when asking for help: versions, machine, settings, last events and log lines; no secrets."""

import os
from pathlib import Path

from newbie_gui.runs.store import Row
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.dataset.images import SUFFIXES
from trainer_core.planning.doctor import Probe, page
from trainer_core.planning.doctor_subject import DataCount

_PROBE_SECONDS = 30


def report_of(row: Row, *, probe: Probe | None = None) -> str:
    """The doctor's page about one run. Takes seconds: PyTorch is asked in a process of its own. Never raises."""
    return page(row.folder, count=_count, probe=probe or Probe(seconds=_PROBE_SECONDS))


def _count(config: TrainConfig) -> DataCount:
    """Counted by names alone: opening thousands of pictures would make the reader wait."""
    root = Path(config.train_data_dir)
    if not root.is_dir():
        raise UserError("dataset_missing", f"{root} is not a folder.")
    images = captionless = 0
    for folder, _, files in os.walk(root):
        for name in files:
            file = Path(folder, name)
            if file.suffix.lower() in SUFFIXES:
                images += 1
                captionless += not file.with_suffix(".txt").exists()
    return DataCount(images=images, captionless=captionless, line=f"{images} images, {captionless} without caption")
