"""The table of a run's curves: what was validated stands in it."""

import re
from typing import Any

import numpy as np

from newbie_gui.pages.train import plot_view
from newbie_gui.runs.curves import Curve
from newbie_gui.runs.plot import PlotChoice, plot_of


class Told:
    """A history of 1000 steps, validated at the start and at every so-manieth step."""

    def __init__(self, every: int) -> None:
        self._loss = Curve(steps=np.arange(1.0, 1001), values=np.full(1000, 0.5))
        steps = np.arange(0.0, 1001, every)
        self._validation = Curve(steps=steps, values=0.1 + steps / 10_000)

    def loss(self) -> Curve:
        return self._loss

    rate = loss

    def validation(self) -> Curve:
        return self._validation


def rows(every: int, **choice: float) -> list[list[str]]:
    ui: Any = type("Ui", (), {"t": staticmethod(lambda key, **values: key)})
    told: Any = Told(every)
    html = str(plot_view.table(ui, plot_of(told, PlotChoice(**choice))))  # type: ignore[arg-type]
    return [re.findall(r"<t[hd][^>]*>([^<]*)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", html)][1:]


def test_every_validated_step_stands_in_the_table() -> None:
    found = {row[0]: row for row in rows(200)}
    assert found["0"] == ["0", "", "", "0.1"]
    assert [found[str(step)][3] for step in (200, 400, 600, 800, 1000)] == ["0.12", "0.14", "0.16", "0.18", "0.2"]
    assert found["200"][1] == "0.5" and list(found) == sorted(found, key=int) and 20 < len(found) <= 26


def test_many_validated_steps_are_thinned_to_a_short_table() -> None:
    found = rows(7)
    validated = [row[0] for row in found if row[3]]
    assert len(found) <= 30 and len(validated) >= 10 and (validated[0], validated[-1]) == ("0", "994")


def test_only_the_chosen_steps_stand_in_the_table() -> None:
    steps = [int(row[0]) for row in rows(200, first=300, last=700)]
    assert min(steps) == 300 and max(steps) == 700 and {400, 600} <= set(steps)
