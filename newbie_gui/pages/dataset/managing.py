"""Making, renaming and deleting data sets and concepts, and taking in uploads."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from newbie_gui.pages.dataset.layout import Parts
from newbie_gui.pages.dataset.renderer import DatasetRenderer, Updates, Values
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.errors import UserError
from trainer_core.dataset.bulk import follow_rename
from trainer_core.dataset.finding import MAX_REPEATS
from trainer_core.dataset.index_file import IndexPlaces
from trainer_core.dataset.library import came_with


class Manager:
    """Handlers; each returns updates or raises UserError."""

    def __init__(self, ui: Ui, parts: Parts, show: DatasetRenderer) -> None:
        self._ui = ui
        self._store = ui.datasets
        self._library = ui.datasets.library
        self._parts = parts
        self._show = show

    @property
    def inputs(self) -> set[Any]:
        manage, upload = self._parts.manage, self._parts.upload
        fields = {manage.name, manage.repeats, manage.folder, manage.new_name, manage.concept, manage.label}
        uploads = {upload.target, upload.overwrite, upload.files, upload.folder, upload.into, upload.concept}
        return {*fields, manage.concept_repeats, manage.asked, *uploads, *self._show.inputs}

    @property
    def outputs(self) -> list[Any]:
        manage, upload = self._parts.manage, self._parts.upload
        uploads = [upload.files, upload.folder, upload.into]
        return [*self._show.outputs, manage.name, manage.folder, manage.sure.text, *uploads]

    def create(self, values: Values) -> Updates:
        """A data set with one concept: pictures that lie in none are not seen by kohya-style tools."""
        manage = self._parts.manage
        repeats = _repeats(values[manage.repeats])
        info = self._library.create(str(values[manage.name]), repeats)
        gr.Info(self._ui.t("dataset.created", name=info.name))
        return {**self._show.dataset(info.name), manage.name: ""}

    def point(self, values: Values) -> Updates:
        info = self._library.point_at(str(values[self._parts.manage.folder]))
        updates = self._show.dataset(info.name)
        self.index(info.name)
        return {**updates, self._parts.manage.folder: ""}

    def rename(self, values: Values) -> Updates:
        dataset = self._show.current(values)
        self._store.require_idle(dataset.info)
        info = self._library.rename(dataset.info.name, str(values[self._parts.manage.new_name]))
        dataset.places.follow(IndexPlaces(self._store.workspace, info.path))
        return self._show.dataset(info.name)

    def ask(self, what: str) -> Any:
        """The question before something is deleted, or at once why it cannot be."""

        def asked(values: Values) -> Updates:
            manage = self._parts.manage
            name = self._show.current(values).info.name
            concept = str(values[manage.concept] or "")
            self._require_deletable(name, concept if what == "concept" else None)
            words = self._ui.t(f"dataset.sure.{what}", name=name, concept=concept)
            about = f"{name}/{concept}" if what == "concept" else name
            return {manage.sure.box: gr.update(visible=True), manage.sure.text: words, manage.asked: about}

        return asked

    def agreed(self, values: Values) -> Updates:
        """Delete what was asked about, whatever is chosen by now."""
        name, _, concept = str(values[self._parts.manage.asked] or "").partition("/")
        if not name:
            return self._show.unasked()
        self._require_deletable(name, concept or None)
        place = self._library.delete_concept(name, concept) if concept else self._library.delete(name)
        gr.Info(self._ui.t("dataset.deleted", place=place.name))
        return self._show.dataset(name if concept else self._show.remembered())

    def forget(self, values: Values) -> Updates:
        self._library.forget(str(values[self._parts.dataset]))
        return self._show.dataset(self._show.remembered())

    def picked_concept(self, values: Values) -> Updates:
        """Another concept is to be changed: its name and repeats stand in the fields."""
        if not values.get(self._parts.dataset):
            # Leaving an empty list counts as choosing from it.
            return gr.skip()
        dataset, concept = self._show.current(values), str(values[self._parts.manage.concept])
        asked = str(values[self._parts.manage.asked] or "")
        # A question that was asked since then, about this very concept, stays.
        closed = self._show.unasked() if "/" in asked and asked != f"{dataset.info.name}/{concept}" else {}
        return {**self._show.concepts(dataset, concept), **closed}

    def add_concept(self, values: Values) -> Updates:
        manage = self._parts.manage
        dataset = self._show.current(values)
        repeats = _repeats(values[manage.concept_repeats])
        concept = self._library.add_concept(dataset.info.name, str(values[manage.label]), repeats)
        return self._show.concepts(self._show.current(values), concept.folder)

    def change_concept(self, values: Values) -> Updates:
        manage = self._parts.manage
        dataset = self._show.current(values)
        self._store.require_idle(dataset.info)
        folder = str(values[manage.concept] or "")
        concept = self._library.change_concept(
            dataset.info.name,
            folder,
            label=str(values[manage.label]),
            repeats=_repeats(values[manage.concept_repeats]),
        )
        follow_rename(dataset.places, folder, concept.folder)
        updates = self._show.dataset(dataset.info.name)
        self.index(dataset.info.name)
        gr.Info(self._ui.t("dataset.concept.changed", folder=concept.folder))
        return {**updates, **self._show.concepts(self._show.current(values), concept.folder)}

    def take(self, values: Values) -> Updates:
        """Queue an import of what was uploaded; without a data set, one is made for it.

        It goes where it was to go when it began: another data set may have been chosen meanwhile.
        """
        upload = self._parts.upload
        files = [*(values[upload.files] or ()), *(values[upload.folder] or ())]
        emptied: Updates = {upload.files: None, upload.folder: None, upload.into: ""}
        if not files:
            return emptied
        self._require_uploaded(files)
        updates: Updates = {}
        chosen = str(values[self._parts.dataset] or "")
        name, concept = chosen, str(values[upload.target] or "")
        if values[upload.into]:
            name, concept = str(values[upload.into]), str(values[upload.concept] or "")
        if not name:
            name = self._new_name()
            self._library.create(name, 1)
            concept = self._library.concepts(name)[0].folder
            updates = self._show.dataset(name)
        info = self._library.get(name)
        folders = {concept, *(known.folder for known in self._library.concepts(name))}
        spec = {
            **self._store.spec(info),
            "concept": concept,
            "files": [str(file) for file in files],
            "overwrite": bool(values[upload.overwrite]),
            "spare": sorted(folder for folder in folders if came_with(info, folder)),
        }
        title = self._ui.t("dataset.job.import", name=name)
        self._store.queue.add("import", title, spec, resources=(self._store.resource(info),))
        if chosen and name != chosen:
            gr.Info(title)
            return emptied
        return {**updates, **emptied, **self._show.jobs(self._store.current(name))}

    def index(self, name: str) -> None:
        """See to it that the pictures of a data set just opened are looked at."""
        self._store.ensure_index(self._store.current(name), self._ui.t("dataset.job.index", name=name), opened=True)

    def _require_deletable(self, name: str, concept: str | None) -> None:
        """``concept``: the folder of one, None where the whole data set is to go. Raises UserError."""
        info = self._library.own(name)
        if concept is not None:
            self._library.concept(name, concept)
        self._store.require_idle(info)

    def _require_uploaded(self, files: Sequence[Any]) -> None:
        """Only what came through the page: a call from outside could name any file."""
        uploads = self._store.workspace.uploads.resolve()
        for file in files:
            if uploads not in Path(str(file)).resolve().parents:
                raise UserError("upload_missing", f"{Path(str(file)).name} was not uploaded.", ["Upload it again."])

    def _new_name(self) -> str:
        first = self._ui.t("dataset.first_name")
        taken = {info.name for info in self._library.list()}
        numbered = (f"{first} {number}" for number in range(2, len(taken) + 3))
        return next(name for name in (first, *numbered) if name not in taken)


def _repeats(value: Any) -> int:
    """Raises UserError `repeats_invalid`."""
    if isinstance(value, int | float) and value == int(value):
        return int(value)
    raise UserError("repeats_invalid", f"{value} repeats cannot be: a whole number from 1 to {MAX_REPEATS} is needed.")
