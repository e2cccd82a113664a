"""From values on the page to a look, and from what it found to updates of the page."""

import json
import math
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.blocks import Block

from newbie_gui.pages.train import plot_view
from newbie_gui.pages.train.parts import Parts
from newbie_gui.pages.train.renderer import TrainRenderer, ViewRequest, ViewUpdate, stamps_from
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.plot import PlotChoice
from newbie_gui.runs.store import STATES, Row

Values = Mapping[Block, Any]
Updates = dict[Block, Any]


class Responses:
    """Answers the handlers of one page. Values come from a browser and are checked here."""

    def __init__(self, ui: Ui, parts: Parts, renderer: TrainRenderer) -> None:
        self._ui = ui
        self._parts = parts
        self._renderer = renderer

    def refresh(self, values: Values, *, selected: str | None = None) -> Updates:
        """Updates for whatever changed; another run is shown where ``selected`` says so."""
        whole: Updates = {}
        if selected is not None and selected != values.get(self._parts.selected):
            # The steps chosen were another run's.
            whole = {self._parts.plots.first: 0, self._parts.plots.last: 0}
        request = self._request({**values, **whole}, selected)
        update = self._renderer.refresh(request)
        updates = whole | self._updates(update, request)
        if update.stamps != request.stamps:
            updates[self._parts.stamps] = json.dumps(dict(update.stamps))
        if update.selected != values.get(self._parts.selected):
            updates[self._parts.selected] = update.selected
        # Gradio wants at least one output in an answer by component.
        return updates or {self._parts.stamps: gr.skip()}

    def shown(self, values: Values) -> Row:
        """The run that the page shows. Raises UserError `run_missing`."""
        return self._ui.runs.row(_text(values.get(self._parts.selected)))

    def _request(self, values: Values, selected: str | None) -> ViewRequest:
        parts, plots = self._parts, self._parts.plots
        state = _text(values.get(parts.state))
        return ViewRequest(
            selected=_text(values.get(parts.selected)) if selected is None else selected,
            stamps=stamps_from(values.get(parts.stamps)),
            text=_text(values.get(parts.text))[:200],
            state=state if state in STATES else "",
            choice=PlotChoice(
                smoothing=min(max(_number(values.get(plots.smoothing)) or 0.0, 0.0), 0.999),
                first=_number(values.get(plots.first)),
                # 0 is how the form says "to the end".
                last=_number(values.get(plots.last)) or None,
                log=bool(values.get(plots.log)),
            ),
            other=_text(values.get(plots.other)),
            search=_text(values.get(parts.search))[:200],
        )

    def _updates(self, update: ViewUpdate, request: ViewRequest) -> Updates:
        parts, found = self._parts, update.parts
        updates: Updates = {
            getattr(parts, name): found[name]
            for name in ("list", "progress", "failure", "samples", "files", "log")
            if name in found
        }
        if "empty" in found:
            updates[parts.nothing] = gr.update(visible=found["empty"])
            updates[parts.shown] = gr.update(visible=not found["empty"])
        if "pace" in found:
            updates[parts.timer] = gr.Timer(found["pace"])
        if "buttons" in found:
            updates.update(self._buttons(found["buttons"]))
        if "others" in found:
            none = (self._ui.t("train.loss.compare_none"), "")
            updates[parts.plots.other] = gr.update(choices=[none, *found["others"]])
        if "plot" in found:
            updates.update(self._plot(found["plot"], request))
        return updates

    def _plot(self, found: Mapping[str, Any], request: ViewRequest) -> Updates:
        plots = self._parts.plots
        return {
            # Nothing may come with the curves: for a new axis title or legend the plot draws itself anew, and then it
            # stays with the curves before these.
            plots.loss: found["loss"],
            plots.heading: plot_view.heading(self._ui, log=request.choice.log, other=found["other"]),
            plots.rate: found["rate"],
            plots.health: found["health"],
            plots.table: found["table"],
        }

    def _buttons(self, row: Row) -> Updates:
        usable = {
            "save_stop": row.state in ("starting", "running"),
            "stop_now": row.live,
            "save_now": row.state == "running",
            "sample_now": row.state == "running",
            # One that is finished goes on with more steps: by a changed setting.
            "resume": not row.live and row.state != "finished",
            "duplicate": True,
            "delete": not row.live and row.begun,
        }
        updates: Updates = {self._parts.buttons[name]: gr.update(interactive=on) for name, on in usable.items()}
        # What was about to be deleted is not what is shown now.
        updates[self._parts.sure] = gr.update(visible=False)
        updates[self._parts.report_text] = gr.update(visible=False, value="")
        return updates


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if good else None  # type: ignore[arg-type]
