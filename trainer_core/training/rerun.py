"""What a changed config means for a run that has begun: go on, go on with a warning, or refuse."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainer_core.contracts.config import Change, TrainConfig, changes, load_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir


def check_rerun(run: RunDir, config: TrainConfig) -> tuple[Change, ...]:
    """Changes against the run's frozen config. Raises UserError `rerun_refused` naming those it cannot take."""
    if not run.config_file.exists() or not any(run.checkpoints.glob("step-*")):
        return ()
    changed = tuple(c for c in changes(load_config(run.config_file), config) if not _same(c))
    refused = [change for change in changed if change.rerun == "refuse"]
    if refused:
        listing = "; ".join(f"{change.name}: {change.old!r} -> {change.new!r}" for change in refused)
        raise UserError(
            "rerun_refused",
            f"{run.path} was trained with other settings that cannot change in between: {listing}.",
            ["Choose another output_name for a new run.", "Or set these back to continue this one."],
        )
    return changed


def own_changes(run: RunDir) -> dict[str, dict[str, Any]]:
    """What the run itself had to change for want of memory and cannot change back: "old" and "new" by option."""
    try:
        found = json.loads(run.recovered_file.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def settled(run: RunDir, config: TrainConfig) -> TrainConfig:
    """The config as a begun run carries it out: where it still says what the run had to change, that change holds."""
    if not any(run.checkpoints.glob("step-*")):
        return config
    kept = {name: change["new"] for name, change in own_changes(run).items() if getattr(config, name) == change["old"]}
    return replace(config, **kept)


def _same(change: Change) -> bool:
    """Two spellings of one thing: a path relative and absolute, targets in another order."""
    if isinstance(change.old, str) and isinstance(change.new, str) and change.name.endswith(("_path", "_dir")):
        return Path(change.old).resolve() == Path(change.new).resolve()
    if change.name == "lora_target_modules":
        assert isinstance(change.old, list) and isinstance(change.new, list)
        return set(change.old) == set(change.new)
    return False


def warnings_of(changed: Iterable[Change]) -> list[str]:
    """A sentence for each change that alters what is learnt from here on."""
    return [
        f"{change.name} changed from {change.old!r} to {change.new!r}; the run continues with the new value."
        for change in changed
        if change.rerun == "warn"
    ]
