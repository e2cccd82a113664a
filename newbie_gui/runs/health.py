"""How a run is doing, in one sentence: which one, and the figures in it."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from newbie_gui.runs.curves import Curve, Floats
from trainer_core.planning.flat_loss import is_flat

# Single losses scatter by half their value: fewer say nothing.
EARLIEST = 60
_BLOCK = 5
_CLEAR = 2.5
# As a logarithm: less is no more than the curve of a flat run wanders.
_SMALLEST_RISE = 0.08
_STEP = re.compile(r"step (\d+)")


@dataclass(frozen=True, kw_only=True)
class Health:
    """``key`` of the sentence ("falling", "flat", ...), the figures in it, and what to check (English sentences)."""

    key: str
    values: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    hints: tuple[str, ...] = ()


def health_of(
    loss: Curve,
    validation: Curve,
    *,
    progress: float = 1.0,
    failure_code: str = "",
    failure: str = "",
    hints: Sequence[str] = (),
) -> Health:
    """The most urgent thing that the losses say.

    Args:
        progress: share of the run's steps that are done, above 0 and up to 1.
        failure_code, failure: code and message of a run that failed.
        hints: what to check if the loss is flat.
    """
    if failure_code == "non_finite":
        found = _STEP.search(failure)
        return Health(key="nan", values=_frozen(step=int(found[1]) if found else _last(loss) + 1))
    values = loss.values[np.isfinite(loss.values) & (loss.values > 0)]
    if len(values) < EARLIEST:
        return Health(key="early", values=_frozen(steps=len(loss), needed=EARLIEST))
    trend = _trend(values)
    if trend.key != "rising" and is_flat(values.tolist(), progress):
        return Health(key="flat", values=_frozen(steps=len(loss)), hints=tuple(hints))
    turned = _validation_turned(validation)
    if turned is not None:
        return Health(key="overfit", values=_frozen(step=turned))
    return trend


def _trend(values: Floats) -> Health:
    """Whether the losses clearly fall or rise: the last third against the first, and against the first steps.

    Errors come from the scatter inside short blocks, which no trend reaches: that of the blocks' means would grow with
    the fall itself. How far it fell is told against the run's first steps, soon always the same ones: against a third
    that grows with the run, the percentage would shrink while the loss goes on falling.
    """
    logs = np.log(values)
    scatter = math.sqrt(np.mean([part.var(ddof=1) for part in np.array_split(logs, len(logs) // _BLOCK)]))
    third = len(logs) // 3
    start, first, last = logs[: min(third, EARLIEST)], logs[:third], logs[-third:]

    def clearly_above(one: Floats, other: Floats, least: float = 0.0) -> bool:
        error = scatter * math.sqrt(1 / len(one) + 1 / len(other))
        return float(one.mean() - other.mean()) > max(_CLEAR * error, least)

    if clearly_above(last, first, _SMALLEST_RISE):
        return Health(key="rising", values=_frozen(percent=_percent(math.exp(last.mean() - first.mean()) - 1)))
    percent = _percent(1 - math.exp(last.mean() - start.mean()))
    if percent > 0 and (clearly_above(first, last) or clearly_above(start, last)):
        return Health(key="falling", values=_frozen(percent=percent))
    return Health(key="unclear", values=_frozen(steps=len(values)))


def _percent(share: float) -> int:
    return round(100 * share)


def _validation_turned(validation: Curve) -> int | None:
    """The step of the lowest validation loss if each of at least three later ones is above it by more than 2 %."""
    there = np.isfinite(validation.values)
    steps, values = validation.steps[there], validation.values[there]
    if len(values) < 4:
        return None
    lowest = int(values.argmin())
    later = values[lowest + 1 :]
    return int(steps[lowest]) if len(later) >= 3 and bool((later > 1.02 * values[lowest]).all()) else None


def _last(loss: Curve) -> int:
    return int(loss.steps[-1]) if len(loss) else 0


def _frozen(**values: float) -> Mapping[str, float]:
    return MappingProxyType(values)
