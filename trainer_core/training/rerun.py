"""What a changed config means for a run that has begun: go on, go on with a warning, or refuse."""

from collections.abc import Iterable
from dataclasses import replace

from trainer_core.contracts.config import Change, TrainConfig, changes, load_config, options, require_none_refused
from trainer_core.contracts.rundir import RunDir

_FROZEN = frozenset(spec.name for spec in options() if spec.rerun == "refuse")


def check_rerun(run: RunDir, config: TrainConfig) -> tuple[Change, ...]:
    """Changes against the run's frozen config. Raises UserError `rerun_refused` naming those it cannot take."""
    if not run.config_file.exists() or not run.has_begun():
        return ()
    changed = changes(load_config(run.config_file), config)
    require_none_refused(changed, run.path)
    return changed


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
