"""Converting and downloading a base model as jobs of the queue: what is asked for, and how the newest one stands."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from newbie_gui.pages.config.base_report import missing_bytes
from newbie_gui.pages.outputs import output_path, planned_outputs
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.jobdir import LIGHT, Kind
from trainer_core.contracts.user_path import user_path
from trainer_core.jobs.entries import ACTIVE
from trainer_core.jobs.queue import Entry
from trainer_core.planning.hub_place import NEWBIE, require_place

KINDS: tuple[Kind, ...] = ("convert", "download")


class BaseJobs:
    """The jobs of one workspace; holds nothing."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui

    def newest(self) -> Entry | None:
        return self._ui.newest(*KINDS)

    def output(self, name: str, *, file: bool = False) -> Path:
        """Where a new base of this name lies. Raises UserError: "name_invalid", "output_exists"."""
        return output_path(self._ui.t, self._ui.workspace.models, name, file=file, planned=planned_outputs(self._ui))

    def plan(self, repo: str, parts: Mapping[str, str], name: str) -> str:
        """Ask the hub what a download takes; returns the job's id. Raises UserError, also "part_missing"."""
        given = {kind: text.strip() for kind, text in parts.items() if text.strip()}
        for text in (repo.strip() or NEWBIE, *given.values()):
            require_place(text)
        spec = {"repo": repo.strip() or NEWBIE, "parts": given, "output": str(self.output(name)), "plan": True}
        return self._added("download", spec, front=True)

    def confirm(self, job_id: str) -> str:
        """Download what a plan described; returns the new job's id.

        Raises UserError: "base_no_plan", "disk_full", "output_exists" (since it was planned).
        """
        entry = self._ui.queue.entry(job_id) if job_id else None
        if entry is None or not is_plan(entry):
            raise UserError("base_no_plan", self._ui.t("base.no_plan"))
        if missing_bytes(entry.result):
            raise UserError("disk_full", self._ui.t("base.job.short", missing=f"{missing_bytes(entry.result):,} B"))
        output = self.output(Path(entry.job.spec["output"]).name)
        return self._added("download", {**entry.job.spec, "output": str(output), "plan": False})

    def convert(self, source: str, parts: Mapping[str, str], *, form: str, dtype: str, name: str) -> str:
        """Returns the job's id. Raises UserError: "home_unknown", "base_missing", "name_invalid", "output_exists"."""
        path = user_path(source.strip())
        if not source.strip() or not path.exists():
            words = f"{path} does not exist." if source.strip() else self._ui.t("base.no_source")
            raise UserError("base_missing", words)
        output = self.output(name, file=form == "comfyui")
        given = {kind: text.strip() for kind, text in parts.items() if text.strip()}
        spec = {"source": str(path), "output": str(output), "to": form, "dtype": dtype, "parts": given}
        return self._added("convert", spec)

    def stop(self, job_id: str) -> None:
        """Raises UserError "job_missing"."""
        entry = self._ui.queue.entry(job_id)
        if entry.job.kind in KINDS and entry.active:
            self._ui.queue.stop(job_id)

    def _added(self, kind: Kind, spec: Mapping[str, Any], *, front: bool = False) -> str:
        key = "plan" if spec.get("plan") else kind
        title = self._ui.t(f"base.title.{key}", name=Path(spec["output"]).name)
        return self._ui.queue.add(kind, title, spec, resources=(LIGHT,), front=front)


def is_plan(entry: Entry) -> bool:
    """Whether it is the answer to how large a download is."""
    return entry.job.kind == "download" and entry.status == "finished" and bool(entry.job.spec.get("plan"))


def paths_of(entry: Entry | None) -> dict[str, str]:
    """The settings that name the base which a finished job made; empty where it made none to train on."""
    if entry is None or entry.status != "finished" or is_plan(entry):
        return {}
    paths = entry.result.get("paths") or {}
    # The single file for ComfyUI is the same transformer once more: nothing to change the settings for.
    return {} if entry.job.spec.get("to") == "comfyui" else {str(k): str(v) for k, v in paths.items()}


def ended_since(entry: Entry, stamp: str) -> bool:
    """Whether the page with this stamp saw the job at work, and it is done now."""
    words = stamp.split(" ")
    return entry.status == "finished" and words[0] == entry.job.id and len(words) > 1 and words[1] in ACTIVE
