"""The runs of this machine: found on disk at every look, followed in memory while somebody looks at them."""

import hashlib
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newbie_gui.fresh import Fresh
from newbie_gui.newest import Newest
from newbie_gui.runs.history import History
from trainer_core.contracts.config import TrainConfig, load_config
from trainer_core.contracts.errors import ConfigError, UserError
from trainer_core.contracts.fsutil import version_of
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.entries import AT_WORK
from trainer_core.jobs.queue import Entry, Queue

# States of a run as the page names them: those of the run folder, of the queue, and "interrupted" for one whose
# process is gone without a word.
STATES = (
    "waiting", "starting", "running", "stopping", "stopped", "finished", "failed", "interrupted", "created",
)  # fmt: skip
_LIVE = ("waiting", "starting", "running", "stopping")
_KEY = re.compile("[0-9a-f]{16}")
_FOLLOWED = 12


@dataclass(frozen=True, kw_only=True)
class Row:
    """One run in the list.

    Attributes:
        key: names the run in URLs and in values that come back from a page.
        folder: its run folder; of a job that has not made one yet, the job's own folder.
        state: one of `STATES`.
        time: when it last changed, Unix seconds.
        job_id: the job in the queue that does it or did it last; "" for runs begun elsewhere.
        begun: it has a run folder.
        entry_failed: the newest job for it failed after the run last wrote anything.
    """

    key: str
    name: str
    folder: Path
    state: str
    step: int = 0
    total: int = 0
    time: float = 0.0
    job_id: str = ""
    begun: bool = True
    entry_failed: bool = False

    @property
    def live(self) -> bool:
        """It waits or is at work: it can be stopped and not be deleted."""
        return self.state in _LIVE

    @property
    def at_work(self) -> bool:
        """A process works on it and tells of it."""
        return self.state in AT_WORK

    @property
    def run(self) -> RunDir:
        return RunDir(self.folder)


class RunStore:
    """One a process. Holds caches only, of the runs looked at last; every method may be called from any thread."""

    def __init__(self, workspace: Workspace, queue: Queue) -> None:
        self.workspace = workspace
        self._queue = queue
        self._lock = threading.Lock()
        self._listed = Fresh(self._look, 0.5)
        self._histories: Newest[Path, History] = Newest(_FOLLOWED)
        self._configs: Newest[Path, tuple[str, TrainConfig | None]] = Newest(_FOLLOWED)

    def rows(self, *, text: str = "", state: str = "") -> tuple[Row, ...]:
        """Runs whose name holds ``text`` (case ignored) and that are in ``state`` ("" = all): live ones, then newest
        first. At most half a second old.
        """
        wanted = text.strip().lower()
        return tuple(row for row in self._listed.now() if wanted in row.name.lower() and state in ("", row.state))

    def forget_list(self) -> None:
        """Look anew at the next call: something was started, moved or deleted."""
        self._listed.forget()

    def row(self, key: str) -> Row:
        """Raises UserError `run_missing`."""
        for row in self.rows():
            if row.key == key:
                return row
        raise UserError(
            "run_missing", "This run is not there any more.", ["Choose another one; a deleted run lies in the trash."]
        )

    def entry(self, row: Row) -> Entry | None:
        """The row's job in the queue."""
        return next((entry for entry in self._queue.entries() if row.job_id and entry.job.id == row.job_id), None)

    def forget_jobs(self, row: Row) -> None:
        """Take the ended jobs of a run out of the queue. Raises UserError and OSError as `Queue.forget`."""
        for entry in self._queue.entries():
            if entry.run is not None and key_of(entry.run.path) == row.key and not entry.active:
                self._queue.forget(entry.job.id)

    def config(self, row: Row) -> TrainConfig | None:
        """The settings of a run, or of a job that has none yet; ``None`` where they cannot be read."""
        file = row.run.config_file
        changed = version_of(file)
        if not changed:
            return None
        known = self._configs.get(file)
        if known is None or known[0] != changed:
            try:
                known = (changed, load_config(file))
            except ConfigError:
                known = (changed, None)
        with self._lock:
            self._configs[file] = known
        return known[1]

    def history(self, folder: Path) -> History:
        """The events of a run, read as far as they are known; the dozen looked at last are kept."""
        with self._lock:
            self._histories[folder] = history = self._histories.get(folder) or History(RunDir(folder).events_file)
            return history

    def _look(self) -> tuple[Row, ...]:
        entries = [entry for entry in self._queue.entries() if entry.job.kind in ("train", "demo")]
        newest: dict[str, Entry] = {}
        for entry in entries:
            if entry.run is not None:
                newest.setdefault(key_of(entry.run.path), entry)
        folders = {key_of(folder): folder for folder in self._run_folders(entries)}
        rows = {key: _begun_row(key, folder, newest.get(key)) for key, folder in folders.items()}
        for entry in entries:
            row = self._unbegun_row(entry)
            if row is not None:
                # The newest job for a folder comes first.
                rows.setdefault(row.key, row)
        return tuple(sorted(rows.values(), key=lambda row: (not row.live, -row.time)))

    def _run_folders(self, entries: Iterable[Entry]) -> Iterable[Path]:
        roots = {self.workspace.output.absolute(): None}
        roots.update({entry.run.path.absolute().parent: None for entry in entries if entry.run is not None})
        for root in roots:
            try:
                inside = sorted(root.iterdir())
            except OSError:
                continue
            yield from (folder for folder in inside if _is_run(folder))

    def _unbegun_row(self, entry: Entry) -> Row | None:
        """A job that never came to its run folder is shown from its own; one that was done or called off is not.

        Its key is the coming run folder's, so that a page which shows it goes on with the run itself.
        """
        if entry.job.kind != "train" or entry.status in ("finished", "cancelled"):
            return None
        folder = self.workspace.jobs / entry.job.id
        return Row(
            key=key_of(folder if entry.run is None else entry.run.path),
            name=entry.job.title,
            folder=folder,
            state="starting" if entry.status == "running" else entry.status,
            time=entry.ended or entry.job.created,
            job_id=entry.job.id,
            begun=False,
            entry_failed=entry.status == "failed",
        )


def key_of(folder: Path) -> str:
    """The same for a folder however it is written; safe in URLs."""
    return hashlib.blake2s(str(folder.resolve()).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def is_key(text: str) -> bool:
    """Whether it could be one of `key_of`."""
    return _KEY.fullmatch(text) is not None


def _is_run(folder: Path) -> bool:
    run = RunDir(folder)
    return run.config_file.is_file() and run.state_file.is_file()


def _begun_row(key: str, folder: Path, entry: Entry | None) -> Row:
    run = RunDir(folder)
    state = run.read_state()
    changed = float(state.get("time") or 0.0)
    failed = entry is not None and entry.status == "failed" and (entry.ended or 0.0) >= changed
    return Row(
        key=key,
        name=folder.name,
        folder=folder,
        state=_state_of(run, state, entry, failed),
        step=_whole(state.get("step")),
        total=_whole(state.get("total_steps")),
        time=changed,
        job_id=entry.job.id if entry else "",
        entry_failed=failed,
    )


def _state_of(run: RunDir, state: Mapping[str, Any], entry: Entry | None, failed: bool) -> str:
    at_work = state.get("status") == "running" and not run.interrupted()
    if entry is not None and entry.status in ("waiting", "stopping"):
        return entry.status
    if at_work:
        return "running"
    if entry is not None and entry.status == "running":
        return "starting"
    if entry is not None and entry.status == "stopped" and state.get("status") == "running":
        return "stopped"
    if state.get("status") == "running":
        return "interrupted"
    return "failed" if failed else run.status()


def _whole(value: object) -> int:
    return value if isinstance(value, int) else 0
