"""Seconds a step takes, as earlier steps of the same kind took them."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from trainer_core.contracts.config import TrainConfig, changes, load_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import read_events
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.measured import MeasuredStep

# What makes two runs' steps comparable; the rest changes their pace by little.
SAME = (
    "base_model_path",
    "transformer_path",
    "resolution",
    "train_batch_size",
    "micro_batch_size",
    "gradient_accumulation_steps",
    "gradient_checkpointing",
    "checkpoint_skip_every",
    "mixed_precision",
    "quantize_base",
    "swap_blocks",
    "compile_blocks",
    "adapter_type",
    "device",
    "gpus",
)
RUNS_LOOKED_AT = 20
STEPS_USED = 200
# The first steps of a process load kernels and fill caches.
WARM_UP = 3
# A step that took so many times the usual one had the machine asleep, or its disk away.
_HELD_UP = 10


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Mean seconds of a step, over how many steps of which run; without a run's name they were tried only."""

    seconds_per_step: float
    steps: int
    run: str


def known_speed(config: TrainConfig) -> Speed | None:
    """From this run's own steps, else from the newest run beside it that is alike; None if there is none."""
    folder = Path(config.output_dir)
    own = folder / config.output_name
    others = [path for path in _newest_first(folder) if path != own]
    for path in [own, *others[:RUNS_LOOKED_AT]]:
        if speed := _speed_of(RunDir(path), config):
            return speed
    return None


def tried_speed(measured: MeasuredStep) -> Speed:
    """The pace of the most expensive batch: no step takes longer, so a whole run takes at most this."""
    return Speed(seconds_per_step=measured.seconds_per_step, steps=measured.steps, run="")


def pace_settings(config: TrainConfig) -> dict[str, object]:
    """What a run's log says of each of its starts, so that steps of other settings are told apart."""
    return {name: getattr(config, name) for name in SAME}


def _newest_first(folder: Path) -> list[Path]:
    dated = []
    try:
        for path in folder.iterdir():
            file = RunDir(path).events_file
            if file.is_file():
                dated.append((file.stat().st_mtime, path))
    except OSError:
        return []
    return [path for _, path in sorted(dated, reverse=True)]


def _speed_of(run: RunDir, config: TrainConfig) -> Speed | None:
    try:
        theirs = load_config(run.config_file)
        if any(change.name in SAME for change in changes(theirs, config)):
            return None
        events = read_events(run.events_file)
    except (UserError, OSError):
        return None
    paces = _paces(events)[-STEPS_USED:]
    if not paces:
        return None
    longest = _HELD_UP * median(paces)
    counted = [pace for pace in paces if pace <= longest]
    # The mean, not the median: steps of a small and of a large bucket add up to the whole time.
    return Speed(seconds_per_step=fmean(counted), steps=len(counted), run=run.path.name)


def _paces(events: Iterable[dict[str, Any]]) -> list[float]:
    """Seconds of the steps, in order, that were made with the settings of the last start."""
    settings, since_start = None, 0
    steps: list[tuple[object, float]] = []
    for event in events:
        if event.get("event") == "started":
            settings, since_start = event.get("settings"), 0
        elif event.get("event") == "step":
            since_start += 1
            seconds = event.get("seconds_per_step")
            if since_start > WARM_UP and isinstance(seconds, int | float) and 0 < seconds < math.inf:
                steps.append((settings, float(seconds)))
    return [seconds for made_with, seconds in steps if made_with == settings]
