"""What a queue keeps on disk beside the job folders: one small file a job, in a folder that says where the job stands.

No file is shared by two jobs, so two programs that use one queue cannot undo each other's work: a job is taken by
renaming its file, and only one of those who try succeeds.
"""

import json
import os
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from trainer_core.contracts.fsutil import retry_when_shared, write_json_atomic

_JOB_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}")
# Setting the clock moves the time at which the machine was started; nobody restarts one this soon.
_BOOT_TOLERANCE_S = 60.0
# What a paused queue holds back. The rest (reading pictures, counting tokens) is the GUI's own work.
_HELD = ("gpu:", "cpu", "light")


@dataclass(frozen=True, kw_only=True)
class Mark:
    """One job's file.

    Attributes:
        order: waiting jobs are started from the lowest up.
        resources: what the job occupies alone.
        boot: when the machine that it was queued on was started, Unix seconds.
        pid, process_start_time: its child process; 0 until there is one.
    """

    order: float = 0.0
    resources: tuple[str, ...] = ()
    boot: float = 0.0
    pid: int = 0
    process_start_time: float = 0.0

    @property
    def held(self) -> bool:
        """True for a job that a paused queue does not start."""
        return is_held(self.resources)

    @property
    def of_an_earlier_boot(self) -> bool:
        """True if the machine was restarted since the job was queued."""
        return abs(psutil.boot_time() - self.boot) > _BOOT_TOLERANCE_S

    def booted_now(self) -> "Mark":
        return replace(self, boot=psutil.boot_time())


class Marks:
    """A folder of marks. Reading an unchanged one costs a look at its name and time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[tuple[int, int], Mark]] = {}
        self._lock = threading.Lock()

    def read(self) -> dict[str, Mark]:
        """By job id, lowest `order` first. Empty where there is no such folder."""
        with self._lock:
            self._known = {name: self._mark(entry) for name, entry in _entries(self._folder)}
            known = [(name, mark) for name, (_, mark) in self._known.items()]
        return dict(sorted(known, key=lambda item: (item[1].order, item[0])))

    def has(self, job_id: str) -> bool:
        return (self._folder / job_id).exists()

    def put(self, job_id: str, mark: Mark) -> None:
        """Raises OSError where the disk refuses."""
        self._folder.mkdir(parents=True, exist_ok=True)
        write_json_atomic(self._folder / job_id, asdict(mark))

    def remove(self, job_id: str) -> bool:
        """False if it was not there (any more)."""
        try:
            retry_when_shared((self._folder / job_id).unlink)
        except FileNotFoundError:
            return False
        return True

    def move(self, job_id: str, other: "Marks") -> bool:
        """Hand the mark over to ``other``; False if it was not there (any more)."""
        other._folder.mkdir(parents=True, exist_ok=True)
        try:
            retry_when_shared(lambda: os.replace(self._folder / job_id, other._folder / job_id))
        except FileNotFoundError:
            return False
        return True

    def asked_at(self, job_id: str) -> float:
        """When the mark was put, Unix seconds; 0 if it is not there."""
        try:
            return (self._folder / job_id).stat().st_mtime
        except FileNotFoundError:
            return 0.0

    def _mark(self, entry: "os.DirEntry[str]") -> tuple[tuple[int, int], Mark]:
        try:
            status = entry.stat()
            # A replaced file is another file: two changes within one tick of the clock are told apart.
            version = (status.st_mtime_ns, entry.inode())
            known = self._known.get(entry.name)
            return known if known and known[0] == version else (version, _parsed(Path(entry.path).read_bytes()))
        except OSError:
            # It went while we were looking.
            return (0, 0), Mark()


class QueueState:
    """What one queue keeps beside the folders of its jobs: three folders of marks, the pause, its worker's files.

    Attributes:
        jobs: the folder of the jobs; everything else lies in it.
        waiting: jobs that a worker has not taken yet.
        started: jobs that were taken by the worker and whose end it has not seen.
        ending: started jobs that shall end now.
        pause_file: there while someone wants the queue to wait.
    """

    def __init__(self, jobs: Path) -> None:
        self.jobs = jobs
        self.waiting = Marks(jobs / ".waiting")
        self.started = Marks(jobs / ".started")
        self.ending = Marks(jobs / ".ending")
        self.pause_file = jobs / ".paused"
        self.worker_lock = jobs / ".worker.lock"
        self.worker_log = jobs / "worker.log"

    def job_ids(self) -> list[str]:
        return [name for name, _ in _entries(self.jobs)]

    def paused(self) -> str:
        """ "asked", "restart" (the machine was restarted since jobs were queued), or "" for not paused."""
        if self.pause_file.exists():
            return "asked"
        restarted = (mark.held and mark.of_an_earlier_boot for mark in self.waiting.read().values())
        return "restart" if any(restarted) else ""

    def to_do(self) -> bool:
        """True if a worker has something to start or to watch."""
        if self.started.read():
            return True
        marks = self.waiting.read().values()
        return any(not mark.held for mark in marks) or (bool(marks) and not self.paused())


def is_held(resources: Iterable[str]) -> bool:
    """Whether a paused queue holds back a job that occupies these."""
    return any(name.startswith(_HELD) for name in resources)


def is_job_id(text: str) -> bool:
    """True for what `new_job_id` makes; nothing else is ever used as a path."""
    return _JOB_ID.fullmatch(text) is not None


def _entries(folder: Path) -> list[tuple[str, "os.DirEntry[str]"]]:
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, entry) for entry in entries if is_job_id(entry.name)]
    except FileNotFoundError:
        return []


def _parsed(data: bytes) -> Mark:
    """What is not readable counts as a mark without content: the job stays, the order is lost."""
    try:
        values: Mapping[str, Any] = json.loads(data)
        return Mark(**{**values, "resources": tuple(values["resources"])})
    except (ValueError, TypeError, KeyError):
        return Mark()
