"""The settings of a begun run, for the folder where it lies now."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer_core.contracts.config import TrainConfig, options


def at(config: TrainConfig, run: Path) -> TrainConfig:
    """``config`` as settings of the folder ``run`` (absolute), wherever that was moved or copied to.

    What lay beside its old output_dir and moved along is found.
    """
    old, new = Path(config.output_dir).parent, run.parent.parent
    names = [spec.name for spec in options() if spec.rule == "path"]
    moved: dict[str, Any] = {name: _moved_along(getattr(config, name), old, new) for name in names}
    return replace(config, **{**moved, "output_dir": str(run.parent), "output_name": run.name})


def _moved_along(path: str, old: Path, new: Path) -> str:
    """Where ``path`` lies now: below ``new`` if it is gone below ``old`` and there; else where it says."""
    if not os.path.isabs(path) or not Path(path).is_relative_to(old) or os.path.exists(path):
        return path
    there = new / Path(path).relative_to(old)
    return str(there) if there.exists() else path
