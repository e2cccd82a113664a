"""Where a run goes on: what its earlier life left behind, and what is no longer as it was."""

from dataclasses import dataclass

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.events import read_events, truncate_after_step
from trainer_core.contracts.fsutil import replace
from trainer_core.contracts.run_names import checkpoint_name, export_step, sample_place
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.trash import place_in
from trainer_core.training.steps import Schedule
from trainer_core.training.validation import forget_measured_after

# Of learning_rate: a smaller rise is none.
_LITTLE = 0.05


@dataclass(frozen=True, kw_only=True)
class EarlierSteps:
    """Of the steps that a run goes on from: their losses, and the learning rate that the last one used."""

    losses: tuple[float, ...] = ()
    rate: float | None = None


def earlier_steps(run: RunDir) -> EarlierSteps:
    """As events.jsonl tells them, once it was cut to what is kept."""
    steps = [event for event in read_events(run.events_file)[0] if event.get("event") == "step"]
    losses = tuple(event["loss"] for event in steps if isinstance(event.get("loss"), float))
    rate = steps[-1].get("lr") if steps else None
    return EarlierSteps(losses=losses, rate=rate if isinstance(rate, float) else None)


def go_back_to(run: RunDir, step: int) -> list[str]:
    """Leave nothing of steps beyond `step` where it would pass for this life's; -1 begins anew.

    Returns sentences to tell. Raises OSError.
    """
    truncate_after_step(run.events_file, step)
    forget_measured_after(run, step)
    return set_aside_later(run, max(step, 0))


def set_aside_later(run: RunDir, step: int) -> list[str]:
    """Move exports and samples of steps beyond `step` to `run.earlier`; returns a sentence where an export was moved.

    Else they would pass for results of what is trained from here on. Raises OSError.
    """
    exports = [file for file in run.exports.iterdir() if (export_step(file.name) or 0) > step]
    pictures = [file for file in run.samples.iterdir() if (sample_place(file.name) or (0, 0))[0] > step]
    if not exports and not pictures:
        return []
    place = place_in(run.earlier, f"after-{checkpoint_name(step)}")
    for file in [*exports, *pictures]:
        goal = place / file.parent.name
        goal.mkdir(parents=True, exist_ok=True)
        replace(file, goal / file.name)
    if not exports:
        return []
    where = place.relative_to(run.path).as_posix()
    return [f"What an earlier life of this run exported after step {step} was moved to {where} in its folder."]


def validation_warnings(before: str | None, now: str | None) -> list[str]:
    """A sentence where other images than `before` are held out `now`; None of either tells nothing."""
    if before is None or now is None or before == now:
        return []
    return [
        "What is held out for validation is not what was measured so far: the losses cannot be compared, and the "
        "best checkpoint is sought anew from here on."
    ]


def rate_warnings(config: TrainConfig, schedule: Schedule, first: int, before: float | None) -> list[str]:
    """A sentence where the rate, `before` at the last step done, jumps up at step `first` (0-based).

    A schedule that rises by itself (warm-up, restarts) has the same rate at the last step as that one used.
    """
    if before is None or not 0 < first < schedule.total_steps:
        return []
    rate = schedule.rate()
    if min(rate(first - 1), rate(first)) - before <= _LITTLE * config.learning_rate:
        return []
    return [
        f"The learning rate rises from {before:.3g} at the last step to {rate(first):.3g}: by its settings now, the "
        "run is at another place of its schedule."
    ]
