"""How a begun run goes on: with a changed config or refused, and what of its earlier life is no longer as it was."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from trainer_core.contracts.checkpoints import STATE, complete_checkpoints
from trainer_core.contracts.config import Change, TrainConfig, changes, load_config, options, require_none_refused
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import read_events, truncate_after_step
from trainer_core.contracts.fsutil import read_json_object, write_text_atomic
from trainer_core.contracts.fsutil import replace as replace_file
from trainer_core.contracts.run_names import checkpoint_name, export_step, sample_place
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.trash import place_in
from trainer_core.training.steps import Schedule
from trainer_core.training.validation import forget_measured_after

_FROZEN = frozenset(spec.name for spec in options() if spec.rerun == "refuse")
# Of learning_rate: a smaller rise is none.
_LITTLE = 0.05


def check_rerun(run: RunDir, config: TrainConfig) -> tuple[Change, ...]:
    """Changes against the run's frozen config. Raises UserError `rerun_refused` naming those it cannot take."""
    if not run.config_file.exists() or not run.has_begun():
        return ()
    changed = changes(load_config(run.config_file), config)
    require_none_refused(changed, run.path)
    return changed


def require_begun_base(run: RunDir, root: Path, base_id: str) -> None:
    """Like `require_base` of the newest checkpoint, before it is known to be sound: encoding may take hours."""
    if folders := complete_checkpoints(run.checkpoints):
        require_base(read_json_object(folders[-1] / STATE), root, base_id)


def require_base(state: Mapping[str, Any], root: Path, base_id: str) -> None:
    """Raises UserError `rerun_refused` where a checkpoint's `state` is of another base than that in `root`."""
    if state.get("base", base_id) != base_id:
        raise UserError(
            "rerun_refused",
            f"The base model in {root} is not the one this run was trained on.",
            ["Choose another output_name, or restore the base model."],
        )


def keeping_config(run: RunDir) -> Callable[[object, BaseException | None, object], None]:
    """What puts a begun run's config back after a refusal: the refused one would pass for what it was trained with."""
    before = run.config_file.read_text(encoding="utf-8") if run.config_file.exists() and run.has_begun() else None

    def put_back(kind: object, error: BaseException | None, trace: object) -> None:
        if before is not None and isinstance(error, UserError) and error.code == "rerun_refused":
            write_text_atomic(run.config_file, before)

    return put_back


def resumed_config(run: RunDir, config: TrainConfig) -> TrainConfig:
    """The config as a begun run carries it out: where it still says what the run had to change, that change holds.

    Without `recover_from_oom` only those that a begun run cannot change back.
    """
    if not run.has_begun():
        return config
    kept = {name: change["new"] for name, change in run.own_changes().items() if getattr(config, name) == change["old"]}
    if not config.recover_from_oom:
        kept = {name: value for name, value in kept.items() if name in _FROZEN}
    return replace(config, **kept)


def kept_notes(own: TrainConfig, resumed: TrainConfig) -> list[str]:
    """The sentence that says how `resumed_config` differs from the user's own; none where it does not."""
    kept = changes(own, resumed)
    if not kept:
        return []
    settings = ", ".join(f"{change.name} = {change.new}" for change in kept)
    note = f"The run goes on with {settings}: with your own values it ran out of memory."
    if any(change.name not in _FROZEN for change in kept):
        note += " Set recover_from_oom = false to go back to them where that is possible."
    return [note]


def warnings_of(changed: Iterable[Change]) -> list[str]:
    """A sentence for each change that alters what is learnt from here on."""
    return [
        f"{change.name} changed from {change.old!r} to {change.new!r}; the run continues with the new value."
        for change in changed
        if change.rerun == "warn"
    ]


@dataclass(frozen=True, kw_only=True)
class EarlierSteps:
    """Of the steps that a run goes on from: their losses, and the learning rate that the last one used."""

    losses: tuple[float, ...] = ()
    rate: float | None = None


def earlier_steps(run: RunDir) -> EarlierSteps:
    """As events.jsonl tells them, once it was cut to what is kept."""
    steps = [event for event in read_events(run.events_file) if event.get("event") == "step"]
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
        replace_file(file, goal / file.name)
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
