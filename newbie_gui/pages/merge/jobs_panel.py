"""The tab's jobs with their progress, results and pictures, told anew by a tick only where something changed."""

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import gradio as gr
from markupsafe import Markup

from newbie_gui.newest import Newest
from newbie_gui.pages.html import CLICKS
from newbie_gui.pages.merge.render import job_view
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.tailing import LogTail
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.jobdir import JobDir
from trainer_core.contracts.toml_text import read_toml
from trainer_core.contracts.workspace import Workspace

KINDS = ("merge", "convert_lora", "try")
_SHOWN = 8
_FOLLOWED = 16


class Pictures:
    """The pictures that jobs have told of; each event log is read on from where it was left. For any thread."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._lock = threading.Lock()
        self._known: Newest[str, tuple[LogTail, tuple[Mapping[str, Any], ...]]] = Newest(_FOLLOWED)

    def of(self, job_id: str) -> Sequence[Mapping[str, Any]]:
        """Events of kind "sample", in order."""
        with self._lock:
            log = JobDir(self._workspace.jobs / job_id).events_file
            tail, pictures = self._known.get(job_id) or (LogTail(log), ())
            if tail.restarted():
                pictures = ()
            pictures += tuple(event for event in tail.events() if event.get("event") == "sample")
            self._known[job_id] = (tail, pictures)
            return pictures


class JobsPanel:
    """What the tab has asked for, newest state on top."""

    view: gr.HTML

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._pictures = Pictures(ui.workspace)

    def place(self) -> None:
        gr.Markdown(f"### {self._ui.t('merge.jobs')}")
        self.view = gr.HTML(elem_id="merge-jobs", js_on_load=CLICKS)

    def html(self) -> Markup:
        """As of now."""
        ui = self._ui
        entries = [entry for entry in ui.queue.entries() if entry.job.kind in KINDS][:_SHOWN]
        if not entries:
            return Markup('<p class="muted">{}</p>').format(ui.t("merge.jobs.none"))
        views = (
            job_view(ui, entry, self._pictures.of(entry.job.id) if entry.job.kind == "try" else ()) for entry in entries
        )
        return Markup("").join(views)

    def act(self, verb: str, job_id: str) -> None:
        """What a button of a job asks for. Raises UserError."""
        if self._ui.queue.entry(job_id).job.kind not in KINDS:
            raise UserError("job_missing", f"There is no job {job_id!r}.")
        if verb in ("stop", "cancel"):
            self._ui.queue.stop(job_id)
        elif verb == "forget":
            self._ui.queue.forget(job_id)


def texts_of_live_jobs(ui: Ui) -> list[str]:
    """Every text in the tasks and settings of jobs that are not done: of a path among them such a job has need."""
    texts: list[str] = []
    for entry in ui.queue.entries():
        if entry.active:
            texts += _texts(entry.job.spec)
            with suppress(UserError):  # a kind without settings, or such as the job will refuse
                texts += _texts(read_toml(JobDir(ui.workspace.jobs / entry.job.id).config_file))
    return texts


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)
