"""From the state of a data set to updates of the page: everything but what a person is typing."""

import json
import time
from collections.abc import Mapping
from typing import Any

import gradio as gr

from newbie_gui.datasets.store import DatasetState
from newbie_gui.pages.dataset import layout
from newbie_gui.pages.dataset.editor_view import render_facts, render_picture
from newbie_gui.pages.dataset.grid_view import render_grid, render_nothing, render_tags
from newbie_gui.pages.dataset.health_view import advised, render_health
from newbie_gui.pages.dataset.read_view import render_read
from newbie_gui.pages.dataset.status_view import render_status
from newbie_gui.pages.ui import Ui, held
from trainer_core.contracts.errors import UserError
from trainer_core.dataset.dataset_index import Picture
from trainer_core.dataset.filters import PAGE, Filter, checked_show, page_of, select

REMEMBERED = "dataset"
DISMISSED = "dataset_import_seen"
EVERYWHERE = "*"

Values = Mapping[Any, Any]
Updates = dict[Any, Any]
Choices = list[tuple[str, str]]


class DatasetRenderer:
    """Makes updates; changes nothing but what is remembered."""

    def __init__(self, ui: Ui, parts: layout.Parts) -> None:
        self._ui = ui
        self._store = ui.datasets
        self._parts = parts

    @property
    def inputs(self) -> set[Any]:
        """What tells which pictures are shown, and which one is open."""
        browse, editor = self._parts.browse, self._parts.editor
        filters = {browse.search, browse.show, browse.folder, browse.tag, browse.page}
        opened = {editor.chosen, editor.caption, editor.loaded, editor.kept}
        return {self._parts.dataset, self._parts.shown, *filters, *opened}

    @property
    def outputs(self) -> list[Any]:
        """Every component that may be in the updates."""
        parts, browse, editor = self._parts, self._parts.browse, self._parts.editor
        manage, facts = parts.manage, parts.facts
        return [
            parts.dataset, parts.manage_box, parts.add_box, *browse.lower, manage.concept, manage.label,
            manage.concept_repeats, manage.forget, manage.delete, manage.rename, manage.new_name,
            manage.sure.box, manage.asked, parts.upload.target,
            parts.status, browse.search, browse.show, browse.folder, browse.tag, browse.grid, browse.count,
            browse.before, browse.after, browse.page, editor.box, editor.picture, editor.facts, editor.caption,
            editor.said, editor.chosen, editor.loaded, editor.kept, editor.unsaved.box, editor.unsaved.text,
            editor.unsaved.keep,
            parts.bulk.undo, facts.health, facts.apply, facts.values, facts.tags, parts.shown, parts.jobs, parts.stamp,
            parts.lists,
        ]  # fmt: skip

    def current(self, values: Values) -> DatasetState:
        """The chosen data set as it is now. Raises UserError `dataset_none`, and as `DatasetStore.current`."""
        name = values.get(self._parts.dataset)
        if not name:
            raise UserError("dataset_none", "No data set is chosen.", ["Choose one, or make a new one."])
        return self._store.current(str(name))

    def of_open_picture(self, values: Values) -> DatasetState:
        """The data set of the open picture, which the list may have left. Raises as `DatasetStore.current`."""
        return self._store.current(str(values[self._parts.shown]))

    def remembered(self) -> str:
        """Name of the data set chosen last, else of the only one, else ""."""
        infos = [info for info in self._store.library.list() if info.present]
        last = self._ui.remember.get(REMEMBERED)
        found = next((info.name for info in infos if str(info.path) == last), "")
        return found or (infos[0].name if len(infos) == 1 else "")

    def dataset(self, name: str) -> Updates:
        """Another data set is looked at: everything anew, filters and editor empty. "" for none."""
        parts, browse = self._parts, self._parts.browse
        filters: Updates = {browse.search: "", browse.tag: "", browse.show: "all", browse.page: "1"}
        cleared = {**filters, **self.closed(), **self.unasked(), parts.shown: name}
        if not name:
            choices = self._choices(None)
            listed = {parts.dataset: gr.update(choices=choices[parts.dataset], value=None), parts.lists: _told(choices)}
            return {**cleared, **self._nothing(), **listed}
        dataset = self._store.current(name)
        self._ui.remember.set(REMEMBERED, str(dataset.info.path))
        external = dataset.info.external
        manage = parts.manage
        choices = self._choices(dataset)
        return {
            **cleared,
            parts.lists: _told(choices),
            parts.dataset: gr.update(choices=choices[parts.dataset], value=name),
            parts.manage_box: gr.update(open=False),
            # Where there are pictures, they are what one comes for.
            parts.add_box: gr.update(open=not dataset.view.snapshot.pictures),
            manage.new_name: gr.update(value="", interactive=not external),
            manage.rename: gr.update(interactive=not external),
            manage.delete: gr.update(visible=not external),
            manage.forget: gr.update(visible=external),
            **self.concepts(dataset),
            browse.folder: gr.update(choices=choices[browse.folder], value=EVERYWHERE),
            **self.content(dataset, {parts.dataset: name}),
            **self.jobs(dataset),
        }

    def concepts(self, dataset: DatasetState, chosen: str = "") -> Updates:
        """The lists of concepts, with ``chosen`` (a folder) or the first one in them."""
        parts, manage = self._parts, self._parts.manage
        choices = self._choices(dataset)
        concept = next((c for c in dataset.concepts if c.folder == chosen), next(iter(dataset.concepts), None))
        value = concept.folder if concept else None
        return {
            manage.concept: gr.update(choices=choices[manage.concept], value=value),
            manage.label: concept.label if concept else "",
            manage.concept_repeats: concept.repeats if concept else 1,
            parts.upload.target: gr.update(choices=choices[parts.upload.target], value=value or ""),
        }

    def lists(self, dataset: DatasetState | None, values: Values) -> Updates:
        """What there is to choose from, where it is not what the browser was told. What is chosen stays so."""
        choices = self._choices(dataset)
        before = _read_told(values.get(self._parts.lists))
        for found, told in zip(choices.values(), before, strict=False):
            # What is gone may be chosen: Gradio refuses a choice that is on its list no more, also where a handler
            # can say what became of it.
            there = {value for _, value in found}
            found += [(value, value) for value in told if value not in there]
        if before == _values(choices):
            return {}
        updates = {part: gr.update(choices=found) for part, found in choices.items()}
        return {**updates, self._parts.lists: _told(choices)}

    def content(self, dataset: DatasetState, values: Values) -> Updates:
        """Thumbnails, numbers, tags: what changes with the pictures and captions."""
        facts = self._parts.facts
        undo = self._store.undo(dataset)
        t = self._ui.t
        words = t("dataset.bulk.undo_none")
        if undo:
            when = time.strftime("%H:%M", time.localtime(undo.time))
            words = t("dataset.bulk.undo", kind=t(f"dataset.bulk.{undo.kind}"), count=undo.captions, time=when)
        return {
            **self.grid(dataset, values),
            facts.health: str(render_health(self._ui, dataset)),
            facts.values: json.dumps(advised(dataset)) if dataset.health.usable else "",
            facts.apply: gr.update(interactive=dataset.health.usable > 0),
            facts.tags: str(render_tags(self._ui, dataset)),
            self._parts.bulk.undo: gr.update(value=words, interactive=undo is not None),
            self._parts.stamp: str(dataset.number),
        }

    def grid(self, dataset: DatasetState, values: Values, *, page: int | None = None) -> Updates:
        """The thumbnails that the filters leave. ``page``: another one than the hidden number says."""
        browse, t = self._parts.browse, self._ui.t
        pictures = select(dataset.view, self.filter(values))
        wanted = page if page is not None else _whole(values.get(browse.page))
        number, pages, shown = page_of(pictures, wanted)
        chosen = str(values.get(self._parts.editor.chosen) or "")
        total = len(dataset.view.snapshot.pictures)
        return {
            browse.grid: str(render_grid(self._ui, dataset, shown, chosen)),
            browse.count: t("dataset.count", shown=len(pictures), total=total, page=number, pages=pages),
            browse.before: gr.update(interactive=number > 1),
            browse.after: gr.update(interactive=number < pages),
            browse.lower[0]: gr.update(interactive=number > 1, visible=pages > 1),
            browse.lower[1]: gr.update(interactive=number < pages, visible=pages > 1),
            browse.page: str(number),
        }

    def filter(self, values: Values) -> Filter:
        """The filters as they stand. Raises UserError `filter_unknown`."""
        browse = self._parts.browse
        folder = values.get(browse.folder)
        return Filter(
            show=checked_show(str(values.get(browse.show) or "all")),
            folder=None if folder in (None, EVERYWHERE) else str(folder),
            tag=str(values.get(browse.tag) or ""),
            search=str(values.get(browse.search) or ""),
        )

    def jobs(self, dataset: DatasetState) -> Updates:
        """What the jobs tell."""
        dismissed = str(self._ui.remember.get(DISMISSED, ""))
        status = render_status(self._ui, self._store.jobs(dataset.info), dismissed)
        return {self._parts.status: str(status), self._parts.jobs: self._store.stamps(dataset.info.name)[0]}

    def opened(self, dataset: DatasetState, relative: str, values: Values) -> Updates:
        """The large view of a picture, with the page of thumbnails it is on."""
        picture = dataset.picture(relative)
        editor = self._parts.editor
        names = [one.relative for one in select(dataset.view, self.filter(values))]
        page = names.index(relative) // PAGE + 1 if relative in names else None
        return {
            editor.box: gr.update(visible=True),
            self._parts.shown: dataset.info.name,
            editor.chosen: relative,
            editor.caption: picture.caption.text,
            editor.loaded: picture.caption.text,
            editor.kept: "",
            editor.said: "",
            editor.unsaved.box: gr.update(visible=False),
            **self.facts(dataset, picture, names),
            **self.grid(dataset, {**values, editor.chosen: relative}, page=page),
        }

    def open_facts(self, dataset: DatasetState, values: Values) -> Updates:
        """The facts of the picture that is open, if one is."""
        picture = dataset.view.snapshot.by_path.get(str(values.get(self._parts.editor.chosen) or ""))
        if picture is None:
            return {}
        return self.facts(dataset, picture, [one.relative for one in select(dataset.view, self.filter(values))])

    def facts(self, dataset: DatasetState, picture: Picture, names: list[str]) -> Updates:
        """The picture of the large view and what is known of it."""
        t, editor = self._ui.t, self._parts.editor
        known = picture.relative in names
        place = t("dataset.place", number=names.index(picture.relative) + 1, total=len(names)) if known else "–"
        return {
            editor.picture: str(render_picture(self._ui, dataset, picture)),
            editor.facts: str(
                render_facts(self._ui, dataset, picture, place) + render_read(self._ui, dataset, picture)
            ),
        }

    def closed(self) -> Updates:
        editor = self._parts.editor
        return {
            editor.box: gr.update(visible=False),
            editor.chosen: "",
            editor.caption: "",
            editor.loaded: "",
            editor.kept: "",
            editor.said: "",
            editor.unsaved.box: gr.update(visible=False),
            editor.picture: "",
            editor.facts: "",
        }

    def unasked(self) -> Updates:
        """No question is open about deleting a data set or a concept."""
        manage = self._parts.manage
        return {manage.sure.box: gr.update(visible=False), manage.asked: ""}

    def _nothing(self) -> Updates:
        parts, t = self._parts, self._ui.t
        return {
            parts.browse.grid: str(render_nothing(self._ui)),
            parts.browse.count: "",
            **dict.fromkeys(parts.browse.lower, gr.update(visible=False)),
            parts.add_box: gr.update(open=True),
            parts.facts.health: "",
            parts.facts.tags: "",
            parts.facts.values: "",
            parts.facts.apply: gr.update(interactive=False),
            parts.manage.concept: gr.update(choices=[], value=None),
            parts.upload.target: gr.update(choices=[(t("dataset.target.new"), "")], value=""),
            parts.status: "",
            parts.jobs: "",
            parts.stamp: "",
        }

    def _choices(self, dataset: DatasetState | None) -> dict[Any, Choices]:
        """By its component, what each list holds. Without a data set only the list of them."""
        parts, t = self._parts, self._ui.t
        datasets = layout.dataset_choices(self._ui, self._store.library.list())
        if dataset is None:
            return {parts.dataset: datasets}
        concepts = [
            (t("dataset.concept.choice", label=c.label, repeats=c.repeats, folder=c.folder), c.folder)
            for c in dataset.concepts
        ]
        folders = [(folder or t("dataset.in_folder.root"), folder) for folder in dataset.folders]
        return {
            parts.dataset: datasets,
            parts.manage.concept: concepts,
            parts.upload.target: [*concepts, (t("dataset.target.root"), "")],
            parts.browse.folder: [(t("dataset.in_folder.all"), EVERYWHERE), *folders],
        }


def _values(choices: Mapping[Any, Choices]) -> list[list[str]]:
    return [[value for _, value in found] for found in choices.values()]


def _told(choices: Mapping[Any, Choices]) -> str:
    """What each list holds, for the browser to keep."""
    return json.dumps(_values(choices))


def _read_told(text: Any) -> list[list[str]]:
    told = held(text)
    lists = told if isinstance(told, list) else []
    return [[value for value in one if isinstance(value, str)] for one in lists if isinstance(one, list)]


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError):
        return 1
