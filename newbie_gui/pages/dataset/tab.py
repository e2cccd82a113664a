"""The Dataset tab: what is placed, and what each click does."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gradio as gr

from newbie_gui.pages.dataset.editing import Editing
from newbie_gui.pages.dataset.layout import Parts, place
from newbie_gui.pages.dataset.managing import Manager
from newbie_gui.pages.dataset.renderer import DISMISSED, EVERYWHERE, DatasetRenderer, Updates, Values
from newbie_gui.pages.ui import ACTION, QUIET, Ui, current_page, hidden, on_news, said
from trainer_core.contracts.errors import UserError

_TICK_S = 2.0
# Progress over thirty outputs would blink all over the page.
_CALM: dict[str, Any] = {**ACTION, "show_progress": "hidden"}
# Gradio tells of the end of an upload only, minutes later: what is chosen when it begins is noted by the browser.
_WATCH_UPLOADS = """() => {
  for (const name of ["change", "drop"]) document.addEventListener(name, (event) => {
    const field = event.target.closest("#dataset-files, #dataset-directory");
    if (field) document.getElementById("dataset-upload-begins").click();
  }, true);
}"""
# What the large view's script (static/dataset.js) does after an answer.
_ANSWERED = "(caption) => window.datasetEditor.answered(caption)"
_GO_TO_EDITOR = "() => window.datasetEditor.goTo()"
_GO_BACK = "() => window.datasetEditor.goBack()"
_GO_TO_GRID = "() => document.querySelector('#dataset-count').scrollIntoView({ block: 'nearest' })"
# A list is left with each choice, and that counts as a choice too: both give the same stamp.
_CHOICE = """(name) => {
  const now = Date.now();
  if (now - (window.datasetChosen || 0) > 300) window.datasetChosen = now;
  return `${name} ${window.datasetChosen}`;
}"""


@dataclass(frozen=True, kw_only=True)
class DatasetTab:
    """What other tabs need.

    Attributes:
        dataset: the chosen data set, by its name in the library.
        apply: a click wants the advised settings put into the form.
        values: hidden; those settings as JSON text by option name, "" for none.
    """

    dataset: gr.Dropdown
    apply: gr.Button
    values: gr.Textbox


def build(ui: Ui) -> DatasetTab:
    """Place the tab's contents; call it inside its gr.Tab."""
    parts = place(ui, ui.datasets.library.list())
    _Tab(ui, parts).wire()
    return DatasetTab(dataset=parts.dataset, apply=parts.facts.apply, values=parts.facts.values)


class _Tab:
    def __init__(self, ui: Ui, parts: Parts) -> None:
        self._ui = ui
        self._store = ui.datasets
        self._parts = parts
        self._show = DatasetRenderer(ui, parts)
        self._manager = Manager(ui, parts, self._show)
        self._editing = Editing(ui, parts, self._show)

    def wire(self) -> None:
        page = current_page()
        page.load(self._loaded, None, self._show.outputs, **QUIET)
        page.load(None, None, None, js=_WATCH_UPLOADS, **QUIET)
        self._wire_manager()
        self._wire_browsing()
        self._wire_editor()
        self._wire_bulk()
        parts = self._parts
        # Without the list of data sets: Gradio refuses a choice that is on it no more, and a tick that sets out while a
        # data set is being renamed would end as an error.
        stamps = {parts.jobs, parts.stamp, parts.lists, *self._show.inputs} - {parts.dataset}
        on_news(gr.Timer(_TICK_S), self._ticked, stamps, self._show.outputs)

    def _wire_manager(self) -> None:
        parts, manager = self._parts, self._manager
        manage, upload = parts.manage, parts.upload
        handlers = [
            (manage.create.click, self._after_saving(manager.create)),
            (manage.name.submit, self._after_saving(manager.create)),
            (manage.point.click, self._after_saving(manager.point)),
            (manage.rename.click, self._after_saving(manager.rename)),
            (manage.delete.click, manager.ask("dataset")),
            (manage.delete_concept.click, manager.ask("concept")),
            (manage.sure.yes.click, self._after_saving(manager.agreed)),
            (manage.forget.click, self._after_saving(manager.forget)),
            (manage.concept.input, manager.picked_concept),
            (manage.add.click, manager.add_concept),
            (manage.change.click, self._after_saving(manager.change_concept)),
            (upload.files.upload, manager.take),
            (upload.folder.upload, manager.take),
        ]
        for event, handler in handlers:
            event(self._ui.guarded(handler), manager.inputs, manager.outputs, **_CALM)
        chosen, noted = [parts.dataset, upload.target], [upload.into, upload.concept]
        upload.begins.click(None, chosen, noted, js="(...chosen) => chosen.map((name) => name ?? '')", **QUIET)
        manage.sure.no.click(self._show.unasked, None, manager.outputs, **_CALM)
        choice = hidden("dataset-choice")
        parts.dataset.input(None, parts.dataset, choice, js=_CHOICE, **QUIET)
        each: dict[str, Any] = {**_CALM, "trigger_mode": "multiple"}
        choice.change(self._ui.guarded(self._chosen), self._show.inputs, self._show.outputs, **each)

    def _wire_browsing(self) -> None:
        parts, browse, show = self._parts, self._parts.browse, self._show
        # Not the texts' `input`: pasting with the mouse does not raise it.
        filters = [browse.search.change, browse.tag.change, browse.show.input, browse.folder.input]
        gr.on(filters, self._said_below(self._filtered), show.inputs, show.outputs, trigger_mode="always_last", **QUIET)
        browse.clear.click(self._said_below(self._cleared), show.inputs, show.outputs, **QUIET)
        for button, step in zip((browse.before, browse.after, *browse.lower), (-1, 1, -1, 1), strict=True):
            event = button.click(self._said_below(self._paged(step)), show.inputs, show.outputs, **QUIET)
            if button in browse.lower:
                event.then(None, None, None, js=_GO_TO_GRID)

        def picked(values: Values, event: gr.EventData) -> Any:
            return self._picked(values, said(event, "do"), said(event, "on"))

        for html in (browse.grid, parts.facts.tags, parts.status):
            event = html.select(self._ui.guarded(picked), show.inputs, self._editing.outputs, **_CALM)
            if html is browse.grid:
                event.success(None, None, None, js=_GO_TO_EDITOR)

    def _wire_editor(self) -> None:
        editor, editing = self._parts.editor, self._editing
        handlers = [
            (editor.previous, editing.turn(-1)),
            (editor.next, editing.turn(1)),
            (editor.save_next, editing.turn(1, rewrite=True)),
            (editor.save, editing.save),
            (editor.close, editing.close),
            (editor.unsaved.keep, editing.keep),
            (editor.unsaved.drop, editing.drop),
            (editor.delete, editing.ask),
            (editor.sure.yes, editing.delete),
        ]
        for button, handler in handlers:
            event = button.click(self._ui.guarded(handler), self._show.inputs, editing.outputs, **_CALM)
            if button is editor.close:
                event.success(None, None, None, js=_GO_BACK)
            elif button in (editor.previous, editor.next, editor.save_next, editor.save):
                event.then(None, editor.caption, None, js=_ANSWERED, **QUIET)
        editor.sure.no.click(editing.unasked, None, editing.outputs, **_CALM)
        left: dict[str, Any] = {**_CALM, "trigger_mode": "multiple"}
        editor.leave.click(self._ui.guarded(editing.left), self._show.inputs, editing.outputs, **left)

    def _wire_bulk(self) -> None:
        bulk, editing = self._parts.bulk, self._editing
        outputs = [*editing.outputs, bulk.view]
        for button, handler in (
            (bulk.preview, editing.preview),
            (bulk.apply, self._after_saving(editing.apply)),
            (bulk.undo, self._after_saving(editing.undo)),
        ):
            button.click(self._ui.guarded(handler), editing.bulk_inputs, outputs, show_progress_on=bulk.view, **ACTION)
        fields = [bulk.text, bulk.new, bulk.match_case, bulk.view]
        bulk.kind.input(editing.fields, bulk.kind, fields, **_CALM)

    def _after_saving(self, handler: Callable[[Values], Updates]) -> Callable[[Values], Updates]:
        """``handler``, once the open caption is saved."""
        return lambda values: self._editing.leave(values, handler)

    def _said_below(self, handler: Callable[[Values], Updates]) -> Callable[[Values], Updates]:
        """``handler``, answered at once; what is wrong stands where the number of pictures would."""

        def safe(values: Values) -> Updates:
            try:
                return handler(values)
            except (UserError, OSError) as error:
                return {self._parts.browse.count: self._ui.say(error)}

        return safe

    def _loaded(self) -> Updates:
        try:
            name = self._show.remembered()
            updates = self._show.dataset(name)
            if name:
                self._manager.index(name)
        except (UserError, OSError):
            # A drive that is gone: the list says so, and another data set can be chosen.
            updates = self._show.dataset("")
        # A new page has it folded; whoever was quick to open it wants it open.
        return {part: update for part, update in updates.items() if part is not self._parts.manage_box}

    def _chosen(self, values: Values) -> Any:
        """Another data set; to choose the one that is shown leaves filters and the open picture as they are."""
        name = str(values[self._parts.dataset] or "")
        if name != values[self._parts.shown]:
            return self._editing.leave(values, self._switched)
        if name:
            # What is new in it comes with the next tick.
            self._manager.index(name)
        return gr.skip()

    def _switched(self, values: Values) -> Updates:
        name = str(values[self._parts.dataset] or "")
        updates = self._show.dataset(name)
        if name:
            self._manager.index(name)
        return updates

    def _filtered(self, values: Values) -> Updates:
        return self._show.grid(self._show.current(values), values, page=1)

    def _cleared(self, values: Values) -> Updates:
        browse = self._parts.browse
        empty = {browse.search: "", browse.tag: "", browse.show: "all", browse.folder: EVERYWHERE}
        return {**empty, **self._filtered({**values, **empty})}

    def _paged(self, step: int) -> Any:
        def turned(values: Values) -> Updates:
            page = str(values[self._parts.browse.page])
            number = int(page) + step if page.isdecimal() else 1
            return self._show.grid(self._show.current(values), values, page=number)

        return turned

    def _picked(self, values: Values, kind: str, value: str) -> Updates:
        if kind == "open":
            return self._editing.open(values, value)
        if kind == "tag":
            filled = {**values, self._parts.browse.tag: value}
            return {self._parts.browse.tag: value, **self._filtered(filled)}
        if kind == "dismiss":
            self._ui.remember.set(DISMISSED, value)
        dataset = self._show.current(values)
        if kind == "stop" and any(entry.job.id == value for entry in self._store.jobs(dataset.info)):
            self._store.queue.stop(value)
        return self._show.jobs(dataset)

    def _ticked(self, values: Values) -> Any:
        """Only what changed since the browser was told; nothing is read here but a few dates and names."""
        name = str(values[self._parts.shown] or "")
        jobs, content = self._store.stamps(name)
        if not content:
            return self._show.lists(None, values) or gr.skip()
        latest = self._store.latest(name)
        if latest is None or latest.seen != content:
            self._store.refresh_soon(name)
        if latest is None:
            return gr.skip()
        updates = self._show.lists(latest, values)
        if jobs != values[self._parts.jobs]:
            updates |= self._show.jobs(latest)
        if str(latest.number) != values[self._parts.stamp]:
            self._store.ensure_index(latest, self._ui.t("dataset.job.index", name=name))
            updates |= self._show.content(latest, values)
            updates |= self._show.open_facts(latest, values)
        return updates or gr.skip()
