"""Curves: growing arrays of a run's figures, smoothing, and thinning to what a screen can show. No I/O."""

from array import array
from bisect import bisect_left
from dataclasses import dataclass

import numpy as np
import pandas
from numpy.typing import NDArray

Floats = NDArray[np.float64]
MOST_POINTS = 1000


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Values at steps, both [N] float64, steps strictly rising. Values may be NaN where a run had none."""

    steps: Floats
    values: Floats

    def __len__(self) -> int:
        return len(self.steps)

    def between(self, first: float, last: float) -> "Curve":
        """The part with first <= step <= last."""
        inside = slice(np.searchsorted(self.steps, first, "left"), np.searchsorted(self.steps, last, "right"))
        return Curve(steps=self.steps[inside], values=self.values[inside])

    def log10(self) -> "Curve":
        """Values that have no logarithm become NaN."""
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(self.values > 0, np.log10(self.values), np.nan)
        return Curve(steps=self.steps, values=values)

    def smoothed(self, weight: float) -> "Curve":
        """Exponential mean as the trainer's own: each value counts ``weight`` times as much as the one after it.

        ``weight`` from 0 (the curve itself) to below 1.
        """
        assert 0 <= weight < 1, weight
        values = pandas.Series(self.values).ewm(alpha=1 - weight, adjust=True, ignore_na=True).mean()
        return Curve(steps=self.steps, values=values.to_numpy())

    def thinned(self, most: int = MOST_POINTS) -> "Curve":
        """At most ``most`` points (4 or more): of each bucket its lowest and highest, so that spikes survive.

        The first and the last point always stay; points without a value go.
        """
        assert most >= 4, most
        there = np.isfinite(self.values)
        steps, values = self.steps[there], self.values[there]
        if len(steps) <= most:
            return Curve(steps=steps, values=values)
        inner = _extremes(values[1:-1], (most - 2) // 2) + 1
        chosen = np.concatenate(([0], inner, [len(steps) - 1]))
        return Curve(steps=steps[chosen], values=values[chosen])


def _extremes(values: Floats, buckets: int) -> NDArray[np.intp]:
    """Places of the lowest and highest value of each of ``buckets`` equal parts, rising, without doubles."""
    edges = np.linspace(0, len(values), buckets + 1).astype(np.intp)
    lengths = np.diff(edges)
    # Rows of equal length, the shorter parts filled up with their last value.
    places = np.minimum(edges[:-1, None] + np.arange(lengths.max()), edges[1:, None] - 1)
    rows = values[places]
    line = np.arange(buckets)
    found = np.concatenate((places[line, rows.argmin(axis=1)], places[line, rows.argmax(axis=1)]))
    return np.unique(found)


class GrowingColumns:
    """Columns of float64 that grow together at their end; the first one holds rising steps."""

    def __init__(self, columns: int) -> None:
        self._columns = tuple(array("d") for _ in range(columns))

    def __len__(self) -> int:
        return len(self._columns[0])

    def append(self, *row: float) -> None:
        """Add a row, one figure a column: rows of that step and later ones are told anew, so they go."""
        steps = self._columns[0]
        if steps and steps[-1] >= row[0]:
            kept = bisect_left(steps, row[0])
            for column in self._columns:
                del column[kept:]
        for column, figure in zip(self._columns, row, strict=True):
            column.append(figure)

    def column(self, number: int) -> Floats:
        """A copy of one column, safe from later rows."""
        return np.array(self._columns[number], dtype=np.float64)

    def curve(self, number: int) -> Curve:
        return Curve(steps=self.column(0), values=self.column(number))
