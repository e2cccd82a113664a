"""The Merge tab: choose base and LoRAs once; merge them, or look at pictures with them; convert; keep house."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import gradio as gr

from newbie_gui.fresh import Fresh
from newbie_gui.pages.html import digest
from newbie_gui.pages.merge.assets_panel import AssetsPanel
from newbie_gui.pages.merge.choose_panel import ChoosePanel, Values
from newbie_gui.pages.merge.details_panel import DetailsPanel
from newbie_gui.pages.merge.filling import Filling
from newbie_gui.pages.merge.inventory import base_of_text, read_inventory
from newbie_gui.pages.merge.jobs_panel import JobsPanel
from newbie_gui.pages.merge.merge_panel import PROPOSED, MergePanel
from newbie_gui.pages.merge.render import base_view, problem
from newbie_gui.pages.merge.try_panel import TryPanel
from newbie_gui.pages.ui import ACTION, QUIET, Ui, hidden, on_news, said
from trainer_core.contracts.errors import UserError
from trainer_core.planning.base_check import check_base

_TICK_S = 2.5
_REMEMBERED = "merge"
# As `MergePanel.proposed`: only in the place of nothing, or of another proposal.
_PROPOSE = f"""(told, now) =>
  told && (!now || /^{PROPOSED.pattern}$/.test(now)) ? told.slice(told.indexOf(' ') + 1) : now
"""
# Where everything stands in one column, what was begun is out of sight: go to it, or to what was refused.
_TO_JOBS = """() => {
  if (!matchMedia('(max-width: 900px)').matches) return;
  const refused = document.querySelector('#merge-problem .note');
  (refused || document.getElementById('merge-jobs')).scrollIntoView({block: 'center'});
}"""


@dataclass(frozen=True, kw_only=True)
class MergeTab:
    """What the page and the other tabs need.

    Attributes:
        load: fills a fresh page; its outputs are ``outputs``.
        use: updates (for ``outputs``) that choose one more LoRA; gets a dict of ``inputs`` and the LoRA's path.
    """

    load: Callable[[], dict[Any, Any]]
    use: Callable[[Values, str], dict[Any, Any]]
    inputs: set[Any]
    outputs: list[Any]


def build(ui: Ui) -> MergeTab:
    """Place the tab's contents; call it inside its gr.Tab."""
    tab = _Tab(ui)
    tab.place()
    tab.wire()
    return MergeTab(load=tab.load, use=tab.use, inputs=tab.choose.inputs | tab.merge.inputs, outputs=tab.outputs)


class _Tab:
    """The components of one page's tab and their handlers; holds nothing about who has it open."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._inventory = Fresh(lambda: read_inventory(ui.workspace), 2.0)
        self.choose = ChoosePanel(ui, self._inventory)
        self.merge = MergePanel(ui, self.choose)
        self._trying = TryPanel(ui, self.choose)
        self._jobs = JobsPanel(ui)
        self._assets = AssetsPanel(ui, self._inventory)

    def place(self) -> None:
        with gr.Row(elem_classes="merge-page"):
            with gr.Column(scale=3, min_width=320):
                self.choose.place()
                self._problem = gr.HTML(elem_id="merge-problem")
                self.merge.place()
                self._trying.place()
                self._details = DetailsPanel(self._ui, self.choose.base)
                self._details.place()
                self._assets.place()
            with gr.Column(scale=2, min_width=320, elem_classes="merge-side"):
                self._jobs.place()
        self._stamp = hidden("merge-stamp")
        self._proposal = hidden("merge-proposal")
        stack = [*self.choose.loras, *self.choose.strengths]
        alone = [[field] for field in (self.choose.base, *self._trying.fields.values())]
        self._filling = Filling([stack, *alone], "merge-filling")

    @property
    def outputs(self) -> list[Any]:
        choose = self.choose
        return [
            choose.base, *choose.loras, *choose.rows, self._details.lora, self._assets.view, self._jobs.view,
            self._filling.box, self._stamp,
        ]  # fmt: skip

    def wire(self) -> None:
        choose, merge, details, trying = self.choose, self.merge, self._details, self._trying
        self._filling.wire()
        trying.wire()
        seen = choose.inputs | merge.inputs | trying.inputs
        notes = [choose.base_note, merge.room, trying.memory]
        looks = [field.change for field in (choose.base, merge.form, merge.precision, trying.fields["device"])]
        gr.on(looks, self._looked, seen, [*notes, trying.fields["width"], trying.fields["height"]], **QUIET)
        stack = [choose.base.change, *(x.change for x in choose.loras), *(x.change for x in choose.strengths)]
        gr.on(stack, choose.warned, choose.inputs, choose.again, trigger_mode="always_last", **QUIET)
        for lora in choose.loras:
            lora.change(choose.shown_rows, choose.inputs, choose.rows, **QUIET)
        first = choose.loras[0]
        first.change(self._named, choose.inputs | merge.inputs, self._proposal, **QUIET)
        # Not on a change: a page that is opened anew has a base of its own.
        first.input(lambda path: base_of_text(str(path or "")) or gr.skip(), first, choose.base, **QUIET)
        merge.form.change(self._named, choose.inputs | merge.inputs, self._proposal, **QUIET)
        self._proposal.change(None, [self._proposal, merge.name], merge.name, js=_PROPOSE, **QUIET)
        details.lora.change(details.looked, details.inputs, [details.facts, details.form, details.name], **QUIET)
        details.form.input(
            lambda values: details.named(values, values[details.form]) or {details.name: gr.skip()},
            details.inputs, details.name, **QUIET,
        )  # fmt: skip
        lists = [*choose.loras, choose.base, *choose.rows, details.lora, self._assets.view]
        choose.upload.upload(
            self._ui.guarded(self._took), choose.inputs | {choose.upload},
            [*lists, choose.upload, choose.report], **ACTION,
        )  # fmt: skip
        told = [self._problem, self._jobs.view, self._stamp]
        begun = [
            merge.start.click(self._acting(merge.go), seen, [*told, merge.name], **ACTION),
            trying.start.click(self._acting(trying.go), seen, told, **ACTION),
            details.start.click(self._acting(details.go), details.inputs, [*told, details.name], **ACTION),
        ]
        for deed in begun:
            deed.success(None, None, None, js=_TO_JOBS, **QUIET)
        self._jobs.view.select(self._ui.guarded(self._pressed), self._stamp, [self._jobs.view, self._stamp], **ACTION)
        self._assets.wire()
        on_news(gr.Timer(_TICK_S), self._tick, self._stamp, [*lists, self._jobs.view, self._stamp])

    def load(self) -> dict[Any, Any]:
        """A fresh page, from disk and what was chosen last; what is chosen while this is on its way stays."""
        ui = self._ui
        inventory = self._inventory.now(anew=True)
        kept = ui.remember.get(_REMEMBERED)
        remembered: dict[str, Any] = kept if isinstance(kept, dict) else {}
        values = self.choose.filled(inventory, remembered)
        values |= self._trying.filled(values[self.choose.base])
        updates = {**self.choose.lists(inventory), **self._details.lists(inventory)}
        updates[self._filling.box] = self._filling.wanted(values)
        jobs, assets = str(self._jobs.html()), str(self._assets.html())
        stamp = f"{digest(jobs)} {digest(assets, inventory)}"
        return {**updates, self._jobs.view: jobs, self._assets.view: assets, self._stamp: stamp}

    def use(self, values: Values, path: str) -> dict[Any, Any]:
        """See `MergeTab.use`."""
        return self.choose.put(values, path) or {self._stamp: gr.skip()}

    def _looked(self, values: Values) -> dict[Any, Any]:
        """Base, form, precision or device changed."""
        base = str(values[self.choose.base] or "").strip().strip('"')
        if not base or "\0" in base:
            return {self.choose.base_note: ""}
        report = check_base({"base_model_path": base})
        sized = self._trying.sized(report, values[self._trying.fields["width"]])
        note = str(base_view(self._ui, report))
        try:
            room = self.merge.looked(values, report)
        except OSError:
            room = {self.merge.room: ""}
        return {self.choose.base_note: note, **room, **self._trying.looked(values, report), **sized}

    def _named(self, values: Values) -> dict[Any, Any]:
        """A name is proposed to the browser, which knows what was typed meanwhile."""
        proposed = self.merge.proposed(values, file=values[self.merge.form] == "comfyui")
        # Numbered: the same name may be proposed again.
        told = f"{time.monotonic_ns()} {proposed[self.merge.name]}" if proposed else gr.skip()
        return {self._proposal: told}

    def _took(self, values: Values) -> dict[Any, Any]:
        updates = self.choose.took(values)
        return {**updates, **self._details.lists(self._inventory.now()), self._assets.view: str(self._assets.html())}

    def _acting(self, deed: Callable[[Values], dict[Any, Any]]) -> Callable[[Values], dict[Any, Any]]:
        """A button's handler: what it refuses stays readable in the tab until the next try."""

        @wraps(deed)
        def act(values: Values) -> dict[Any, Any]:
            try:
                updates = deed(values)
            except (UserError, OSError) as error:
                gr.Warning(self._ui.say(error))
                return {self._problem: str(problem(self._ui, error))}
            self._remember(values)
            jobs = str(self._jobs.html())
            return {**updates, self._problem: "", self._jobs.view: jobs}

        return act

    def _remember(self, values: Values) -> None:
        if self.choose.loras[0] not in values:
            return
        pairs = zip(self.choose.loras, self.choose.strengths, strict=True)
        loras = [{"path": values[lora], "strength": values[strength]} for lora, strength in pairs if values[lora]]
        self._ui.remember.set(_REMEMBERED, {"base": values[self.choose.base], "loras": loras})

    def _pressed(self, stamp: str, event: gr.EventData) -> dict[Any, Any]:
        """A button of a job."""
        self._jobs.act(said(event, "do"), said(event, "on"))
        return {self._jobs.view: str(self._jobs.html()), self._stamp: gr.skip()}

    def _tick(self, stamp: str) -> dict[Any, Any]:
        seen = (stamp or "").split()
        jobs = str(self._jobs.html())
        inventory, assets = self._inventory.now(), str(self._assets.html())
        now = [digest(jobs), digest(assets, inventory)]
        if now == seen:
            return {self._stamp: gr.skip()}
        updates: dict[Any, Any] = {self._stamp: " ".join(now)}
        if now[0] != (seen[0] if seen else ""):
            updates[self._jobs.view] = jobs
        if now[1] != (seen[1] if len(seen) > 1 else ""):
            updates |= self.choose.lists(inventory) | self._details.lists(inventory) | {self._assets.view: assets}
        return updates
