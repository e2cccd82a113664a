"""Seconds a step takes, as earlier steps of the same kind took them."""

import math
import statistics
from dataclasses import dataclass
from pathlib import Path

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
    "device",
    "gpus",
)
RUNS_LOOKED_AT = 20
STEPS_USED = 200
# The first steps of a process load kernels and fill caches.
WARM_UP = 3


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Median seconds of a step, over how many steps of which run; without a run's name they were tried only."""

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
        events, _ = read_events(run.events_file)
    except (UserError, OSError):
        return None
    values = [event.get("seconds_per_step") for event in events if event.get("event") == "step"][WARM_UP:]
    paces = [float(value) for value in values if isinstance(value, int | float) and 0 < value < math.inf][-STEPS_USED:]
    if not paces:
        return None
    return Speed(seconds_per_step=statistics.median(paces), steps=len(paces), run=run.path.name)
