"""The curves of one run as the page draws them: chosen, smoothed, thinned."""

import math
from dataclasses import dataclass

from newbie_gui.runs.curves import Curve
from newbie_gui.runs.history import History

# At most so many points; all of them together keep an answer below 60 kB.
RAW_POINTS = 700
SMOOTH_POINTS = 400
RATE_POINTS = 300


@dataclass(frozen=True, kw_only=True)
class PlotChoice:
    """How the curves are wanted.

    Attributes:
        smoothing: weight of what came before, 0 to 0.999.
        first, last: steps shown.
        log: base-10 logarithms of the losses.
    """

    smoothing: float = 0.98
    first: float = 0.0
    last: float = math.inf
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Thinned curves; those that do not exist have no points. ``other`` is the smoothed loss of a second run.

    ``all_raw``, ``all_smoothed`` and ``all_validation`` are the chosen steps with nothing left out and no logarithm.
    """

    raw: Curve
    smoothed: Curve
    validation: Curve
    rate: Curve
    all_raw: Curve
    all_smoothed: Curve
    all_validation: Curve
    other: Curve | None = None


def plot_of(history: History, choice: PlotChoice, other: History | None = None) -> Plot:
    """The curves of a run, and of a second one beside it. Smoothing begins at the first step of all."""
    loss, validation = history.loss(), history.validation()
    smooth = loss.smoothed(choice.smoothing)
    return Plot(
        raw=_shown(loss, choice, RAW_POINTS),
        smoothed=_shown(smooth, choice, SMOOTH_POINTS),
        validation=_shown(validation, choice, SMOOTH_POINTS),
        rate=history.rate().between(choice.first, choice.last).thinned(RATE_POINTS),
        all_raw=loss.between(choice.first, choice.last),
        all_smoothed=smooth.between(choice.first, choice.last),
        all_validation=validation.between(choice.first, choice.last),
        other=None if other is None else _shown(other.loss().smoothed(choice.smoothing), choice, SMOOTH_POINTS),
    )


def _shown(curve: Curve, choice: PlotChoice, most: int) -> Curve:
    part = curve.between(choice.first, choice.last)
    return (part.log10() if choice.log else part).thinned(most)
