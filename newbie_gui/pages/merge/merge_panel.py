"""Merging into a model: form, precision, name, room on the disk."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from newbie_gui.pages.merge.choose_panel import ChoosePanel, Values
from newbie_gui.pages.merge.plans import (
    FORMS,
    PRECISIONS,
    free_name,
    merge_spec,
    precision_choices,
    room_for,
    title_of,
)
from newbie_gui.pages.merge.render import room_view
from newbie_gui.pages.outputs import planned_outputs
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.jobdir import LIGHT
from trainer_core.planning.base_check import BaseReport

# A name that this panel made up itself may be replaced by the next one.
PROPOSED = re.compile(r".*-merged(-\d+)?")


class MergePanel:
    form: gr.Radio
    precision: gr.Dropdown
    name: gr.Textbox
    room: gr.HTML
    start: gr.Button

    def __init__(self, ui: Ui, choose: ChoosePanel) -> None:
        self._ui = ui
        self._choose = choose

    def place(self) -> None:
        t = self._ui.t
        with gr.Accordion(t("merge.merging"), open=True, elem_id="merge-merging"):
            gr.Markdown(t("merge.merging.help"))
            self.form = gr.Radio(
                [(t(f"merge.form.{form}"), form) for form in FORMS], value="comfyui", label=t("merge.form"),
                elem_id="merge-form",
            )  # fmt: skip
            with gr.Row():
                self.precision = gr.Dropdown(
                    precision_choices(t), value="keep",
                    label=t("merge.precision"), info=t("merge.precision.help"), filterable=False,
                    elem_id="merge-precision", min_width=200,
                )  # fmt: skip
                self.name = gr.Textbox(
                    "", label=t("merge.name"), info=t("merge.name.help"), max_length=120, elem_id="merge-name",
                    min_width=200,
                )  # fmt: skip
            self.room = gr.HTML(elem_id="merge-room")
            self.start = gr.Button(t("merge.start"), variant="primary", elem_id="merge-start")

    @property
    def inputs(self) -> set[Any]:
        return {self.form, self.precision, self.name}

    def looked(self, values: Values, report: BaseReport) -> dict[Any, Any]:
        """How large the result will be."""
        transformer = next(part for part in report.parts if part.part == "transformer")
        if not transformer.size:
            return {self.room: ""}
        form, precision = str(values[self.form]), str(values[self.precision])
        if form not in FORMS or precision not in PRECISIONS:
            return {self.room: ""}
        return {self.room: str(room_view(self._ui, room_for(report, form, precision, self._ui.workspace.models)))}

    def proposed(self, values: Values, *, file: bool) -> dict[Any, Any]:
        """A free name after the first LoRA, unless somebody typed one."""
        name = str(values.get(self.name) or "")
        chosen = self._choose.chosen(values)
        if not chosen or (name and not PROPOSED.fullmatch(name)):
            return {}
        wanted = re.sub(r"-step-0*(\d+)$", r"-\1", title_of(Path(chosen[0])))
        taken = [Path(path).name for path in planned_outputs(self._ui)]
        return {self.name: free_name(self._ui.workspace.models, f"{wanted}-merged", file=file, taken=taken)}

    def go(self, values: Values) -> dict[Any, Any]:
        """Queue the job. Raises UserError, OSError."""
        ui = self._ui
        stack = self._choose.stack(values)
        wanted: Mapping[str, object] = {
            "form": values[self.form], "precision": values[self.precision], "name": values[self.name],
        }  # fmt: skip
        spec = merge_spec(ui.t, ui.workspace, stack, wanted, planned_outputs(ui))
        title = ui.t("merge.title.merge", name=Path(spec["output"]).name)
        ui.queue.add("merge", title, spec, resources=(LIGHT,))
        gr.Info(ui.t("merge.queued", title=title))
        return self.proposed(values, file=values[self.form] == "comfyui")
