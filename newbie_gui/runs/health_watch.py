"""Judging a run while it goes on: the sentence is made anew when enough has happened, not at every look."""

import threading
from dataclasses import dataclass
from pathlib import Path

from newbie_gui.newest import Newest
from newbie_gui.runs.failure import Failure
from newbie_gui.runs.health import Health, health_of
from newbie_gui.runs.history import History, RunFacts
from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.flat_loss import flat_loss_hints, progress_of

_KEPT = 12
_LEAST_NEW_STEPS = 5
# Of the steps judged so far.
_NEW_SHARE = 0.01


@dataclass(frozen=True, kw_only=True)
class _Verdict:
    steps: int
    code: str
    measured: int
    health: Health


class HealthWatch:
    """One a process; keeps the last sentence of the runs looked at last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._judged: Newest[Path, _Verdict] = Newest(_KEPT)

    def health(
        self, folder: Path, history: History, facts: RunFacts, failure: Failure | None, config: TrainConfig | None
    ) -> Health:
        """How the run does, at most one percent of its steps old."""
        code = failure.code if failure else ""
        with self._lock:
            known = self._judged.get(folder)
        validation = history.validation()
        settled = known is not None and known.health.key != "early"
        if known is not None and settled and (known.code, known.measured) == (code, len(validation)):
            new = facts.steps - known.steps
            if 0 <= new < max(_LEAST_NEW_STEPS, _NEW_SHARE * known.steps):
                return known.health
        health = health_of(
            history.loss(),
            validation,
            progress=progress_of(facts.last.get("step", {})),
            failure_code=code,
            failure=failure.message if failure else "",
            hints=_flat_hints(facts, config),
        )
        with self._lock:
            self._judged[folder] = _Verdict(steps=facts.steps, code=code, measured=len(validation), health=health)
        return health


def _flat_hints(facts: RunFacts, config: TrainConfig | None) -> tuple[str, ...]:
    """The trainer's own advice where it gave some: it knows the data set."""
    for advice in facts.advice:
        if advice.get("topic") == "loss" and isinstance(advice.get("hints"), list):
            return tuple(map(str, advice["hints"]))
    return () if config is None else flat_loss_hints(config, images=0, steps=facts.steps)
