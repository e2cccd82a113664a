"""What a LoRA is, and its other forms."""

from pathlib import Path
from typing import Any

import gradio as gr

from newbie_gui.pages.merge.choose_panel import Values, lora_choices
from newbie_gui.pages.merge.inventory import Inventory
from newbie_gui.pages.merge.plans import convert_spec, free_name, other_form, precision_choices, read_path, title_of
from newbie_gui.pages.merge.render import facts_view, problem
from newbie_gui.pages.outputs import planned_outputs
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import LORA_FILES, LORA_FORMS
from trainer_core.contracts.jobdir import LIGHT
from trainer_core.planning.lora_facts import lora_facts


class DetailsPanel:
    lora: gr.Dropdown
    facts: gr.HTML
    form: gr.Radio
    precision: gr.Dropdown
    name: gr.Textbox
    start: gr.Button

    def __init__(self, ui: Ui, base: gr.Dropdown) -> None:
        self._ui = ui
        self._base = base

    def place(self) -> None:
        t = self._ui.t
        with gr.Accordion(t("merge.details"), open=False, elem_id="merge-details"):
            self.lora = gr.Dropdown(
                [("", "")], value="", label=t("merge.details.lora"), info=t("merge.lora.help"),
                allow_custom_value=True, elem_id="merge-details-lora",
            )  # fmt: skip
            self.facts = gr.HTML(elem_id="merge-facts")
            gr.Markdown(f"#### {t('merge.convert')}\n\n{t('merge.convert.help')}")
            self.form = gr.Radio(
                [(t(f"merge.lora_form.{form}"), form) for form in LORA_FORMS], value="peft",
                label=t("merge.convert.form"), elem_id="merge-convert-form",
            )  # fmt: skip
            with gr.Row():
                self.precision = gr.Dropdown(
                    precision_choices(t), value="keep",
                    label=t("merge.precision"), filterable=False, elem_id="merge-convert-precision", min_width=200,
                )  # fmt: skip
                self.name = gr.Textbox(
                    "", label=t("merge.name"), max_length=120, elem_id="merge-convert-name", min_width=200
                )
            self.start = gr.Button(t("merge.convert.start"), elem_id="merge-convert-start")

    @property
    def inputs(self) -> set[Any]:
        return {self.lora, self.form, self.precision, self.name, self._base}

    def lists(self, inventory: Inventory) -> dict[Any, Any]:
        return {self.lora: gr.update(choices=[("", ""), *lora_choices(self._ui, inventory.loras)])}

    def looked(self, values: Values) -> dict[Any, Any]:
        """Another LoRA was chosen: what it is, and the form that it does not have yet."""
        if not values[self.lora]:
            return {self.facts: ""}
        try:
            facts = lora_facts(read_path(self._ui.t, values[self.lora], "merge.details.lora"))
        except (UserError, OSError) as error:
            return {self.facts: str(problem(self._ui, error))}
        form = other_form(facts)
        return {self.facts: str(facts_view(self._ui, facts)), self.form: form, **self.named(values, form)}

    def named(self, values: Values, form: str) -> dict[Any, Any]:
        """A free name for the result."""
        if not values[self.lora]:
            return {}
        wanted = f"{title_of(Path(str(values[self.lora]))).removesuffix('-peft')}-{form}"
        taken = [Path(path).name for path in planned_outputs(self._ui)]
        return {self.name: free_name(self._ui.workspace.loras, wanted, file=form in LORA_FILES, taken=taken)}

    def go(self, values: Values) -> dict[Any, Any]:
        """Queue the job. Raises UserError."""
        ui = self._ui
        wanted = {
            "source": values[self.lora], "form": values[self.form], "precision": values[self.precision],
            "name": values[self.name], "base": values[self._base],
        }  # fmt: skip
        spec = convert_spec(ui.t, ui.workspace, wanted, planned_outputs(ui))
        title = ui.t("merge.title.convert", name=Path(spec["output"]).name)
        ui.queue.add("convert_lora", title, spec, resources=(LIGHT,))
        gr.Info(ui.t("merge.queued", title=title))
        return self.named(values, str(values[self.form]))
