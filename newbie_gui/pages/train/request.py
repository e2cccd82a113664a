"""What a page shows and wants to see, from the values of its components. They come from a browser and are checked."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gradio.blocks import Block

from newbie_gui.pages.train.parts import Parts
from newbie_gui.pages.ui import held
from newbie_gui.runs.plot import PlotChoice
from newbie_gui.runs.store import STATES

Values = Mapping[Block, Any]
Updates = dict[Block, Any]


@dataclass(frozen=True, kw_only=True)
class ViewRequest:
    """One look.

    Attributes:
        selected: key of the run, "" for whichever suits.
        stamps: of each part that the page has.
        text, state: filter of the list.
        other: key of the run to compare with, "" for none.
        search: in the log.
    """

    selected: str
    stamps: Mapping[str, str]
    text: str
    state: str
    choice: PlotChoice
    other: str
    search: str


def request_of(parts: Parts, values: Values) -> ViewRequest:
    """Whatever cannot be read counts as nothing chosen."""
    plots, state = parts.plots, text_of(values.get(parts.state))
    return ViewRequest(
        selected=text_of(values.get(parts.selected)),
        stamps=_stamps(values.get(parts.stamps)),
        text=text_of(values.get(parts.text))[:200],
        state=state if state in STATES else "",
        choice=PlotChoice(
            smoothing=min(max(_number(values.get(plots.smoothing)), 0.0), 0.999),
            first=_number(values.get(plots.first)),
            # 0 is how the form says "to the end".
            last=_number(values.get(plots.last)) or math.inf,
            log=bool(values.get(plots.log)),
        ),
        other=text_of(values.get(plots.other)),
        search=text_of(values.get(parts.search))[:200],
    )


def text_of(value: object) -> str:
    return value if isinstance(value, str) else ""


def _stamps(text: object) -> dict[str, str]:
    values = held(text)
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}


def _number(value: object) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else 0.0  # type: ignore[arg-type]
