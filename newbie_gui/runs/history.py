"""What a run has told so far, gathered from its events as they come."""

import math
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newbie_gui.runs.curves import Curve, GrowingColumns
from newbie_gui.runs.tailing import LogTail

LAST_WARNINGS = 50
_LOSS, _RATE, _SECONDS = 1, 2, 3


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What the events say at one moment; ``version`` changes whenever any of it does.

    Attributes:
        last: the newest event of each kind.
        warnings: the newest messages, oldest first.
        advice: the newest of each topic.
    """

    version: int
    steps: int
    last: Mapping[str, Mapping[str, Any]]
    warnings: tuple[str, ...]
    advice: tuple[Mapping[str, Any], ...]

    @property
    def trains(self) -> bool:
        """A step was told of since the run was started last."""
        return "step" in self.last and self.last["step"]["order"] > self.last.get("started", {}).get("order", 0)

    @property
    def newest(self) -> Mapping[str, Any]:
        """The newest event of all; empty where nothing was told."""
        return max(self.last.values(), key=lambda event: event["order"], default={})


class History:
    """Follows one events.jsonl; every method may be called from any thread."""

    def __init__(self, path: Path) -> None:
        self._tail = LogTail(path)
        self._lock = threading.Lock()
        self._version = 0
        self._clear()

    def _clear(self) -> None:
        self._curves = GrowingColumns(4)
        self._validation = GrowingColumns(2)
        self._last: dict[str, dict[str, Any]] = {}
        self._warnings: deque[str] = deque(maxlen=LAST_WARNINGS)
        self._advice: dict[str, dict[str, Any]] = {}
        self._order = 0

    def refresh(self) -> RunFacts:
        """Read what is new and say where the run stands."""
        with self._lock:
            if self._tail.restarted():
                self._clear()
                self._version += 1
            before = self._order
            for event in self._tail.events():
                self._take(event)
            self._version += self._order > before
            return RunFacts(
                version=self._version,
                steps=len(self._curves),
                last=dict(self._last),
                warnings=tuple(self._warnings),
                advice=tuple(self._advice.values()),
            )

    def loss(self) -> Curve:
        with self._lock:
            return self._curves.curve(_LOSS)

    def rate(self) -> Curve:
        with self._lock:
            return self._curves.curve(_RATE)

    def seconds(self) -> Curve:
        """Seconds of each step."""
        with self._lock:
            return self._curves.curve(_SECONDS)

    def validation(self) -> Curve:
        with self._lock:
            return self._validation.curve(1)

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("event")
        if not isinstance(kind, str):
            return
        self._order += 1
        event["order"] = self._order
        self._last[kind] = event
        step = event.get("step")
        if kind == "step" and isinstance(step, int):
            self._curves.append(
                step, _number(event.get("loss")), _number(event.get("lr")), _number(event.get("seconds_per_step"))
            )
        elif kind == "validation" and isinstance(step, int):
            self._validation.append(step, _number(event.get("loss")))
        elif kind == "warning":
            self._warnings.append(str(event.get("message", "")))
        elif kind == "advice":
            self._advice[str(event.get("topic", ""))] = event


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
