"""The controls of all settings: made from the one list of options, filled and read by name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import gradio as gr
from gradio.components import Component

from newbie_gui.pages.config.form import control_of, help_of, to_form
from newbie_gui.pages.ui import Ui
from newbie_gui.texts import Texts
from trainer_core.contracts.config import options
from trainer_core.contracts.options import OptionSpec

Fill = Callable[[Mapping[str, Any]], dict[Any, Any]]

# A panel of its own chooses it; the plain path is for whoever wants to see or type it.
CHOSEN_ABOVE = "base_model_path"

_LINES = {"lines": 4, "long_text": 2}


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Every control by the name of its setting, and the folded part of each group by its heading."""

    controls: Mapping[str, Component]
    folds: Mapping[str, gr.Accordion]
    helps: Mapping[str, str]

    def read(self, data: Mapping[Any, Any]) -> dict[str, Any]:
        """The form by name, of what a handler got by component."""
        return {name: data.get(control) for name, control in self.controls.items()}

    def fill(self, values: Mapping[str, Any]) -> dict[Any, Any]:
        """Updates that put these values (by name, in their types) into their controls; the others stay."""
        return self.fill_form(to_form(values))

    def fill_form(self, form: Mapping[str, Any]) -> dict[Any, Any]:
        """Like `fill`, with what the controls held, as `read` gave it."""
        return {self.controls[name]: gr.update(value=shown) for name, shown in form.items() if name in self.controls}

    def mark(self, problems: Mapping[str, str], shown: Iterable[str], t: Texts) -> dict[Any, Any]:
        """Updates that show each problem beside its control, and the help again where one is solved.

        ``shown`` names the settings beside which a problem stands now.
        """
        updates: dict[Any, Any] = {}
        opened = set()
        before = set(shown)
        for spec in options():
            name, control = spec.name, self.controls[spec.name]
            if name in problems:
                updates[control] = gr.update(info=f"⚠ {problems[name]}", elem_classes=[*_classes(spec), "config-bad"])
                if name not in before and not is_open(spec) and name != CHOSEN_ABOVE:
                    opened.add(spec.group)
            elif name in before:
                updates[control] = gr.update(info=self.helps[name], elem_classes=_classes(spec))
        return {**updates, **{self.folds[group]: gr.update(open=True) for group in opened}}


def build_fields(ui: Ui, values: Mapping[str, Any]) -> Fields:
    """Place all controls with these values (by name, in their types), by group: the basic ones open, others folded."""
    controls: dict[str, Component] = {}
    folds: dict[str, gr.Accordion] = {}
    helps = {spec.name: _help(spec, ui) for spec in options()}
    form = to_form(values)
    for group, members in groupby(options(), key=lambda spec: spec.group):
        specs = list(members)
        heading = ui.t(f"options.group.{group}")
        basic = [spec for spec in specs if is_open(spec)]
        if basic:
            gr.Markdown(f"### {heading}")
            with gr.Row(elem_classes="config-grid"):
                controls |= {spec.name: _control(spec, form, helps, ui) for spec in basic}
        label = ui.t("config.advanced", group=heading) if basic else heading
        if advanced := [spec for spec in specs if not is_open(spec)]:
            with gr.Accordion(label, open=False, elem_id=fold_id(group)) as folds[group]:
                with gr.Row(elem_classes="config-grid"):
                    controls |= {spec.name: _control(spec, form, helps, ui) for spec in advanced}
    return Fields(controls=controls, folds=folds, helps=helps)


def _control(spec: OptionSpec, form: Mapping[str, Any], helps: Mapping[str, str], ui: Ui) -> Component:
    kind = control_of(spec)
    common: dict[str, Any] = {
        "value": form.get(spec.name),
        "label": ui.t(f"options.{spec.name}"),
        "info": helps[spec.name],
        "elem_id": f"config-{spec.name}",
        "elem_classes": _classes(spec),
        "interactive": True,
        "min_width": 240,
    }
    if kind == "checkbox":
        return gr.Checkbox(**common)
    if kind == "choice":
        words = [(_choice(spec, choice, ui.t), choice) for choice in spec.choices]
        return gr.Dropdown(words, filterable=False, **common)
    if kind == "number":
        return gr.Number(step=spec.multiple_of or 1, **common)
    if spec.name == "train_data_dir":
        return gr.Dropdown(ui.datasets.choices(), allow_custom_value=True, **common)
    lines = _LINES.get(kind, 1)
    plain = gr.InputHTMLAttributes(spellcheck=False, autocomplete="off", autocapitalize="off")
    return gr.Textbox(lines=lines, max_lines=max(lines, 12) if lines > 1 else 1, html_attributes=plain, **common)


def _help(spec: OptionSpec, ui: Ui) -> str:
    words = help_of(spec, ui.t)
    return ui.t("config.dataset.help", help=words) if spec.name == "train_data_dir" else words


def _choice(spec: OptionSpec, choice: str, t: Texts) -> str:
    key = f"options.{spec.name}={choice}"
    return t(key) if key in t else choice


def _classes(spec: OptionSpec) -> list[str]:
    wide = control_of(spec) in ("lines", "long_text") or spec.rule == "path"
    return ["config-field", *(["config-wide"] if wide else [])]


def is_open(spec: OptionSpec) -> bool:
    """Whether a setting stands outside its group's folded part."""
    return spec.level == "basic" and spec.name != CHOSEN_ABOVE


def fold_id(group: str) -> str:
    """The elem_id of a group's folded part."""
    return "config-more-" + group.lower().replace(" ", "-")
