"""The curves of one run as the page draws them: chosen, smoothed, thinned."""

from collections.abc import Callable
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
        first, last: steps shown; ``None`` = from the start, to the end.
        log: base-10 logarithms of the losses.
    """

    smoothing: float = 0.98
    first: float | None = None
    last: float | None = None
    log: bool = False


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Thinned curves; those that do not exist have no points. ``other`` is the smoothed loss of a second run.

    ``all_raw`` and ``all_smoothed`` are the chosen steps with nothing left out and no logarithm.
    """

    raw: Curve
    smoothed: Curve
    validation: Curve
    rate: Curve
    all_raw: Curve
    all_smoothed: Curve
    other: Curve | None = None


def plot_of(history: History, choice: PlotChoice, other: History | None = None) -> Plot:
    """The curves of a run, and of a second one beside it. Smoothing begins at the first step of all."""
    loss = history.loss()
    smooth = _smooth(loss, choice)
    shown = _shower(choice)
    rate = history.rate().between(*_range(choice))
    return Plot(
        raw=shown(loss, RAW_POINTS),
        smoothed=shown(smooth, SMOOTH_POINTS),
        validation=shown(history.validation(), SMOOTH_POINTS),
        rate=rate.thinned(RATE_POINTS),
        all_raw=loss.between(*_range(choice)),
        all_smoothed=smooth.between(*_range(choice)),
        other=None if other is None else shown(_smooth(other.loss(), choice), SMOOTH_POINTS),
    )


def _smooth(loss: Curve, choice: PlotChoice) -> Curve:
    return loss.smoothed(choice.smoothing) if len(loss) else loss


def _range(choice: PlotChoice) -> tuple[float, float]:
    first = float("-inf") if choice.first is None else choice.first
    last = float("inf") if choice.last is None else choice.last
    return first, last


def _shower(choice: PlotChoice) -> Callable[[Curve, int], Curve]:
    def shown(curve: Curve, most: int) -> Curve:
        part = curve.between(*_range(choice))
        return (part.log10() if choice.log else part).thinned(most)

    return shown
