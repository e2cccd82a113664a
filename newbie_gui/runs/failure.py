"""Why a run failed and what can be done, down to settings that can be applied at once."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from newbie_gui.runs.history import RunFacts
from newbie_gui.runs.store import Row
from trainer_core.contracts.checkpoints import complete_checkpoints
from trainer_core.contracts.config import TrainConfig
from trainer_core.jobs.queue import Entry
from trainer_core.planning.ladder import estimated_ladder

OUT_OF_MEMORY = "out_of_memory"
_SEEN_ENDING = ("job_killed", "job_died")


@dataclass(frozen=True, kw_only=True)
class Remedy:
    """One rung of the memory ladder.

    Attributes:
        sentence: what it does and what it is worth, in English.
        values: the settings of this rung and of all above it: each rung stands on those before.
        new_run: the begun run cannot take them; they need a run of another name.
    """

    sentence: str
    values: Mapping[str, Any]
    new_run: bool


@dataclass(frozen=True, kw_only=True)
class Failure:
    """``message`` and ``hints`` are the engine's English sentences; ``code`` is "interrupted" for a run that died
    without a word (power cut, killed), whose message is mostly empty.
    """

    code: str
    message: str = ""
    hints: tuple[str, ...] = ()


def failure_of(row: Row, facts: RunFacts, entry: Entry | None) -> Failure | None:
    """``None`` for a run that did not fail."""
    if row.state == "interrupted":
        # What ended the process is known where the queue's worker saw it end.
        if entry is not None and entry.status == "failed" and entry.code in _SEEN_ENDING:
            return Failure(code="interrupted", message=entry.message, hints=entry.hints)
        return Failure(code="interrupted")
    if row.state != "failed":
        return None
    if row.entry_failed and entry is not None and entry.code:
        code, message, hints = entry.code, entry.message, tuple(entry.hints)
    else:
        code, message, hints = _stated(row, facts)
    return Failure(code=code, message=message, hints=hints)


def remedies(row: Row, config: TrainConfig) -> tuple[Remedy, ...]:
    """The published ladder for a run that ran out of memory, in order; empty where every rung is taken already.

    Takes a tenth of a second: each rung is worth an estimate.
    """
    begun = bool(complete_checkpoints(row.run.checkpoints))
    values: dict[str, Any] = {}
    found, new_run = [], False
    for rung in estimated_ladder(config):
        values = {**values, **rung.values}
        new_run = new_run or (rung.new_run and begun)
        found.append(Remedy(sentence=rung.sentence, values=dict(values), new_run=new_run))
    return tuple(found)


def apply(config: TrainConfig, remedy: Remedy, free_name: str) -> TrainConfig:
    """The settings with a remedy taken; ``free_name`` is the output_name where a new run is needed."""
    name = free_name if remedy.new_run else config.output_name
    return replace(config, **{**remedy.values, "output_name": name})


def _stated(row: Row, facts: RunFacts) -> tuple[str, str, tuple[str, ...]]:
    state, event = row.run.read_state(), facts.last.get("failed", {})
    code = str(state.get("code") or event.get("code") or "internal")
    message = str(state.get("message") or event.get("message") or "")
    # Of a run that an earlier version trained the event alone tells them; on a full disk there may be no event.
    hints = state.get("hints") or (event.get("hints") if event.get("code") == code else None)
    return code, message, tuple(map(str, hints)) if isinstance(hints, list) else ()
