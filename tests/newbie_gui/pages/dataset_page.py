"""The Dataset tab without a browser: its handlers with the values that a page would send."""

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
from PIL import Image

from newbie_gui.pages.dataset.editing import Editing
from newbie_gui.pages.dataset.layout import Parts, place
from newbie_gui.pages.dataset.managing import Manager
from newbie_gui.pages.dataset.renderer import DatasetRenderer
from newbie_gui.pages.ui import Ui
from newbie_gui.services import make_services
from newbie_gui.texts import Lang, Texts
from trainer_core.contracts.jobdir import Job, JobDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.dataset.index_file import IndexPlaces
from trainer_core.dataset.indexing import update_index
from trainer_core.jobs.context import JobContext
from trainer_core.jobs.queue import Queue


class Quiet(Queue):
    """Keeps jobs and starts no process."""

    def ensure_worker(self) -> None:
        pass


@functools.cache
def components(lang: Lang) -> Parts:
    """Made once: a gr.Blocks costs a second."""
    ui = cast(Ui, SimpleNamespace(t=Texts(lang)))
    with gr.Blocks():
        return place(ui, ())


class Page:
    """One open page: ``values`` holds what its components hold."""

    def __init__(self, root: Path, lang: Lang = "en") -> None:
        self.workspace = Workspace(root / "ws")
        self.workspace.create()
        self.ui = Ui(lang, make_services(self.workspace, queue=Quiet(self.workspace)))
        self.store = self.ui.datasets
        self.parts = components(lang)
        self.show = DatasetRenderer(self.ui, self.parts)
        self.manager = Manager(self.ui, self.parts, self.show)
        self.editing = Editing(self.ui, self.parts, self.show)
        inputs = self.manager.inputs | self.editing.bulk_inputs | {self.parts.lists}
        self.values: dict[Any, Any] = {component: component.value for component in inputs}

    def do(self, handler: Callable[..., Mapping[Any, Any]], *more: Any, **typed: Any) -> dict[Any, Any]:
        """Type into components named as in `Parts` ("editor__caption"), call the handler, take its updates."""
        for name, value in typed.items():
            self.values[self.part(name)] = value
        updates = dict(handler(self.values, *more))
        for component, update in updates.items():
            value = update.get("value", self.values.get(component)) if isinstance(update, dict) else update
            self.values[component] = value
        return updates

    def part(self, name: str) -> Any:
        found: Any = self.parts
        for word in name.split("__"):
            found = getattr(found, word)
        return found

    def shown(self, name: str) -> str:
        return str(self.values[self.part(name)])

    def jobs(self, kind: str) -> list[Job]:
        return [entry.job for entry in self.store.queue.entries() if entry.job.kind == kind]

    def context(self) -> JobContext:
        folder = JobDir(self.workspace.jobs / "by-hand")
        if not folder.job_file.exists():
            folder.create_job(Job(id="by-hand", kind="index", title="by hand"))
        return JobContext(folder)

    def fill(self, name: str, captions: Mapping[str, str | None]) -> Path:
        """A data set with a small picture for each path, looked at."""
        folder = self.store.library.create(name).path
        for number, (relative, caption) in enumerate(captions.items()):
            image = folder / relative
            image.parent.mkdir(parents=True, exist_ok=True)
            Image.effect_noise((64 + number, 64), 90).save(image)
            if caption is not None:
                image.with_suffix(".txt").write_text(caption, encoding="utf-8")
        update_index(folder, IndexPlaces(self.workspace, folder), self.context())
        self.do(lambda values: self.show.dataset(name))
        return folder
