"""The Settings tab: the form, what it will need, strategies, saved settings."""

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import gradio as gr

from newbie_gui.pages.config.base_panel import BasePanel
from newbie_gui.pages.config.disk_facts import DiskFacts
from newbie_gui.pages.config.exchange_panel import ExchangePanel
from newbie_gui.pages.config.fields import Fields, build_fields
from newbie_gui.pages.config.files_panel import FilesPanel
from newbie_gui.pages.config.fit_panel import FitPanel
from newbie_gui.pages.config.form import to_form, unfit, values_from
from newbie_gui.pages.config.form_check import check
from newbie_gui.pages.config.left_out import left_out
from newbie_gui.pages.config.render import render, start_problem
from newbie_gui.pages.config.strategy import new_values, plan_for, render_plan, titles
from newbie_gui.pages.html import digest, note
from newbie_gui.pages.ui import QUIET, Ui, current_page, held, hidden
from trainer_core.contracts.base_part import BASE_OPTIONS
from trainer_core.contracts.config import TrainConfig, options, parse_config
from trainer_core.contracts.fsutil import json_text

# Seconds between looks while something is being counted or arrives, and else (free memory changes by itself).
_SOON_S, _SLOW_S = 1.0, 10.0
# For what a click has to know before it answers.
_PATIENCE_S = 5.0
# How the nudge of a page that has just been filled begins: what it holds was checked on the way.
_LOADED = "loaded "
# Both panels are written anew while somebody reads: what was unfolded stays so.
_UNFOLDED = """
const unfolded = new Set();
element.addEventListener('click', (event) => {
  const part = event.target.closest('summary')?.parentElement;
  if (part) unfolded[part.open ? 'delete' : 'add'](part.dataset.key);
});
new MutationObserver(() => {
  for (const part of element.querySelectorAll('details[data-key]')) {
    if (unfolded.has(part.dataset.key) && !part.open) part.open = true;
  }
}).observe(element, {childList: true, subtree: true, attributes: true, attributeFilter: ['open']});
"""
# A problem's button leads to its setting: unfold its group, bring it into view, focus it.
_JUMP = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-field]');
  if (!button) return;
  const find = () => document.getElementById('config-' + button.dataset.field);
  const show = () => {
    const field = find();
    if (!field) return;
    field.scrollIntoView({block: 'center'});
    field.querySelector('input, textarea, button')?.focus({preventScroll: true});
  };
  if (find()?.offsetParent) return show();
  const fold = document.getElementById(button.dataset.fold);
  const head = fold && fold.querySelector('button');
  if (head) head.click();
  setTimeout(show, 150);
});
"""


class ConfigTab:
    """The components of one page's tab and their handlers; holds nothing about who has it open.

    Attributes:
        start_problem: hidden; empty while Start is allowed, else the sentence why not.
    """

    fields: Fields
    live: gr.HTML
    start_problem: gr.Textbox

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._known = DiskFacts()
        self._draft = ui.draft
        self._base = BasePanel(ui)
        self._files = FilesPanel(ui)
        self._exchange = ExchangePanel(ui)
        self._fit = FitPanel(ui)

    def place(self) -> None:
        ui = self._ui
        values = new_values(ui)
        with gr.Row(elem_classes="config-page"):
            with gr.Column(scale=3, min_width=320):
                self._left_out = gr.HTML(elem_id="config-left-out")
                self._place_strategy()
                with gr.Accordion(ui.t("config.files"), open=False, elem_id="config-files"):
                    self._files.place()
                    self._exchange.place()
                with gr.Accordion(ui.t("base.heading"), open=True, elem_id="config-base"):
                    self._base.place()
                self.fields = build_fields(ui, values)
            with gr.Column(scale=2, min_width=320, elem_classes="config-side"):
                self.live = gr.HTML(elem_id="config-live", js_on_load=_UNFOLDED + _JUMP)
                self._fit.place()
        # What the browser has. Changes with every filling of the form; empty before the first.
        self._nudge = hidden("config-nudge")
        # The problems found, the settings beside which one is shown, and a stamp of the panels.
        self._marked = hidden("config-marked")
        self._shown = hidden("config-shown")
        self._seen = hidden("config-seen")
        # The form as this page has told it: another page may have written other values since.
        self._told = hidden("config-told")
        self.start_problem = hidden("config-start-problem")
        self._timer = gr.Timer(_SLOW_S)

    def _place_strategy(self) -> None:
        ui = self._ui
        with gr.Row(elem_classes="config-strategy"):
            self._strategy = gr.Dropdown(
                titles(ui),
                value=plan_for(ui.machine.now()).preset.name,
                label=ui.t("config.strategy"),
                info=ui.t("config.strategy.help"),
                filterable=False,
                elem_id="config-strategy",
                scale=3,
            )
            self._use = gr.Button(ui.t("config.strategy.apply"), elem_id="config-strategy-use", size="md", scale=1)
        self._why = gr.HTML(elem_id="config-strategy-why", js_on_load=_UNFOLDED)

    def wire(self) -> None:
        controls: list[Any] = list(self.fields.controls.values())
        checking: set[Any] = {*controls, self._nudge, self._marked, self._seen, self._strategy}
        panel = [self.live, self._why, self._seen, self.start_problem, self._marked, self._timer]
        marks = [*controls, *self.fields.folds.values(), self._shown]
        # What a person does, not what is filled in: that is told once by the nudge, not by each control for itself.
        typed = [control.input for control in (*controls, self._strategy)]
        # A panel of its own fills these.
        set_by_others = [self.fields.controls[name].change for name in BASE_OPTIONS]  # type: ignore[attr-defined]
        for triggers, handler in (
            (typed, self._changed),
            (set_by_others, self._based),
            ([self._nudge.change], self._nudged),
        ):
            gr.on(triggers, handler, {*checking, self._told}, [*panel, self._told], trigger_mode="always_last", **QUIET)
        self._timer.tick(self._looked, checking, panel, **QUIET)
        # Apart, and only when a problem came or went: updating every control costs the browser more than all else.
        self._marked.change(self._mark, [self._marked, self._shown], marks, trigger_mode="always_last", **QUIET)
        filled = [*marks, *panel, self._strategy, self._nudge, self._told, self._left_out, *self._files.refreshed]
        current_page().load(self._filled, None, filled, **QUIET)
        self._base.wire(self.fields.controls)
        self._files.wire(self.fields, self.outputs, self.fill)
        self._exchange.wire(self.fields, self.outputs, self.fill)
        self._fit.wire(self.fields.controls, self.start_problem, self.config)
        self._use.click(self._used, {*controls, self._strategy}, self.outputs, **QUIET)

    @property
    def outputs(self) -> list[Any]:
        """The control of each setting, and what tells that they were filled.

        For ``inputs=`` of a handler whose dict goes through `config`, and ``outputs=`` of one that uses `fill`.
        """
        return [*self.fields.controls.values(), self._nudge]

    def config(self, data: Mapping[Any, Any]) -> TrainConfig:
        """The form's settings, of a handler's dict. Raises ConfigError with every problem."""
        return parse_config(values_from(self.fields.read(data)), source=self._ui.t("frame.tab.config"))

    def problem_of(self, config: TrainConfig) -> str:
        """Why a training with these settings cannot be started, as of now; empty where it can.

        Waits a moment for what has to be read from disk.
        """
        known, form = DiskFacts(), to_form(vars(config))
        deadline = time.monotonic() + _PATIENCE_S
        while (report := check(form, known, self._ui)).counting and time.monotonic() < deadline:
            time.sleep(_PATIENCE_S / 100)
        return start_problem(report, self._ui)

    def _filled(self) -> dict[Any, Any]:
        """A fresh page: what was typed last, else what suits this machine."""
        ui = self._ui
        kept = self._draft.read()
        lost = left_out(ui, kept, self._draft.strange())
        form = {**to_form(new_values(ui)), **to_form(kept)}
        told = str(note("warning", "⚠", *lost, role="status")) if lost else ""
        if lost:
            # Told once: what is kept is what the form holds from now on.
            self._draft.amend({name: form[name] for name in unfit(kept)})
        strategy = plan_for(ui.machine.now(), ui.remember.get("preset")).preset.name
        updates = self.fields.fill_form(form)
        folder = self.fields.controls["train_data_dir"]
        updates[folder] = gr.update(choices=ui.datasets.choices(), value=form["train_data_dir"])
        checked = self._look(form, strategy, ("", ""))
        problems = _problems(checked[self._marked])
        for control, update in self.fields.mark(problems, (), ui.t).items():
            updates[control] = {**updates.get(control, {}), **update}
        names = " ".join(problems)
        return {
            **updates, **checked, self._strategy: strategy, self._nudge: _LOADED + _stamp(), self._shown: names,
            self._told: json_text(form), self._left_out: told, **self._files.refresh(),
        }  # fmt: skip

    def _changed(self, data: dict[Any, Any]) -> dict[Any, Any]:
        """Something was typed. Before the page was filled, its controls hold nobody's wish.

        Only what this page changed is kept: the rest may have been typed on another page meanwhile.
        """
        if not data[self._nudge]:
            return self._looked(data)
        form, told, kept = self.fields.read(data), _held(data[self._told]), self._draft.read()
        self._draft.amend(
            {name: value for name, value in form.items() if name not in kept or name not in told or told[name] != value}
        )
        return {**self._looked(data), self._told: json_text(form)}

    def _based(self, data: dict[Any, Any]) -> dict[Any, Any]:
        """The panel above named another base."""
        if data[self._nudge]:
            form = self.fields.read(data)
            self._draft.amend({name: form[name] for name in BASE_OPTIONS})
        return self._looked(data)

    def _nudged(self, data: dict[Any, Any]) -> Any:
        """The form was filled, and what with is in the draft.

        Controls that the browser has not drawn yet, those of a tab never opened, still say what they held before.
        """
        if str(data[self._nudge] or "").startswith(_LOADED):
            return gr.skip()
        has = (data[self._marked] or "", data[self._seen] or "")
        form = self.fields.read(data)
        looked = self._look({**form, **self._draft.read()}, data[self._strategy], has)
        return {**looked, self._told: json_text(form)}

    def _looked(self, data: dict[Any, Any]) -> dict[Any, Any]:
        has = (data[self._marked] or "", data[self._seen] or "")
        return self._look(self.fields.read(data), data[self._strategy], has)

    def _look(self, form: Mapping[str, Any], strategy: str, has: tuple[str, str]) -> dict[Any, Any]:
        """``has``: the problems and the stamp of the panels that the browser has already."""
        ui = self._ui
        report = check(form, self._known, ui)
        plan = plan_for(ui.machine.now(), strategy, form)
        problems = json_text(dict(report.problems))
        live, why = str(render(report, ui)), str(render_plan(plan, form, ui))
        seen = digest(live, why)
        panels = {} if seen == has[1] else {self.live: live, self._why: why, self._seen: seen}
        return {
            **panels,
            self.start_problem: start_problem(report, ui),
            self._marked: gr.skip() if problems == has[0] else problems,
            self._timer: gr.Timer(_SOON_S if report.counting or report.passing else _SLOW_S),
        }

    def _mark(self, marked: str, shown: str) -> dict[Any, Any]:
        problems = _problems(marked)
        return {**self.fields.mark(problems, (shown or "").split(), self._ui.t), self._shown: " ".join(problems)}

    def _used(self, data: dict[Any, Any]) -> dict[Any, Any]:
        plan = plan_for(self._ui.machine.now(), data[self._strategy], self.fields.read(data))
        with suppress(OSError):
            # Worth less than the click: the form is filled even where the disk is full.
            self._ui.remember.set("preset", plan.preset.name)
        return self.fill(plan.values)

    def fill(self, values: Mapping[str, Any]) -> dict[Any, Any]:
        """Updates of `outputs` that put values (by name, in their types) into the form; its check follows by itself."""
        self._draft.amend(to_form(values))
        updates = self.fields.fill(values)
        folder = self.fields.controls["train_data_dir"]
        if folder in updates:
            # It may be new: then the list does not have its name yet.
            updates[folder] = {**updates[folder], "choices": self._ui.datasets.choices()}
        return {**updates, self._nudge: _stamp()}


def build(ui: Ui) -> ConfigTab:
    """Place the tab's contents; call it inside its gr.Tab."""
    tab = ConfigTab(ui)
    tab.place()
    tab.wire()
    return tab


def _stamp() -> str:
    """Differs each time: a control in a folded group does not tell that it was filled, this one does."""
    return str(time.time_ns())


def _problems(marked: str) -> dict[str, str]:
    """The problems as the browser brings them back: known settings and texts only."""
    known = {spec.name for spec in options()}
    return {name: text for name, text in _held(marked).items() if name in known and isinstance(text, str)}


def _held(text: object) -> dict[str, Any]:
    """What stands by name in a hidden box; nothing where that cannot be read."""
    values = held(text)
    return values if isinstance(values, dict) else {}
