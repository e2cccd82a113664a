"""The queue of a workspace: add jobs, look at them, change their order, stop them. Any number of programs may use it.

All of it lies on disk (`jobs.marks` says how), so nothing is lost when one of them ends; `jobs.worker` does the work.
"""

import math
import re
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any, get_args

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import lock_now
from trainer_core.contracts.jobdir import Job, JobDir, Kind, new_job_id
from trainer_core.contracts.rundir import Verb
from trainer_core.contracts.trash import to_trash
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.entries import AT_WORK, ENDED, Entry, EntryReader, JobStatus
from trainer_core.jobs.marks import Mark, QueueState
from trainer_core.jobs.spawn import reap, start

__all__ = ["Entry", "JobStatus", "Queue"]

# A worker needs a moment until it holds its lock.
_STARTING_S = 3.0
_PLAIN_NAME = re.compile(r"\w[\w.-]*")
_NO_FILES: Mapping[str, str] = MappingProxyType({})


class Queue:
    """Cheap to make; holds no state but caches. Safe to use from several threads."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._state = QueueState(workspace.jobs)
        self._reader = EntryReader(workspace.jobs)
        self._lock = threading.Lock()
        self._spawned = -_STARTING_S

    def add(
        self,
        kind: Kind,
        title: str,
        spec: Mapping[str, Any],
        *,
        resources: Sequence[str],
        files: Mapping[str, str] = _NO_FILES,
        front: bool = False,
    ) -> str:
        """Put a job at the end, or at the front, and see to it that a worker runs; returns its id.

        Args:
            spec: what the kind's function gets; anything that JSON knows.
            resources: what it occupies alone.
            files: further files of the job's folder by name, for example a training's ``config.toml``.

        Raises:
            UserError: ``run_folder_unusable``, the workspace cannot be written.
            ValueError: an unknown kind, or a file name that is not a plain one.
        """
        if kind not in get_args(Kind):
            raise ValueError(f"there is no kind of job named {kind!r}")
        if bad := [name for name in files if _PLAIN_NAME.fullmatch(name) is None]:
            raise ValueError(f"not plain file names: {bad}")
        job = Job(
            id=new_job_id(), kind=kind, title=title, spec=spec, resources=tuple(resources), created=time.time()
        )  # fmt: skip
        folder = JobDir(self._state.jobs / job.id)
        try:
            folder.create_job(job, files)
            orders = [mark.order for mark in self._state.waiting.read().values()]
            order = min(orders, default=0.0) - 1.0 if front else max(orders, default=0.0) + 1.0
            self._state.waiting.put(job.id, Mark(order=order, resources=job.resources).booted_now())
        except (OSError, UserError):
            shutil.rmtree(folder.path, ignore_errors=True)
            raise
        self.ensure_worker()
        return job.id

    def entries(self) -> tuple[Entry, ...]:
        """Running ones first, then the waiting ones in order, then those that ended, newest first."""
        with self._lock:
            waiting = self._state.waiting.read()
            # After the waiting ones: a job that is taken in between is seen twice rather than not at all.
            started, ending = self._state.started.read(), self._state.ending.read()
            positions = {job_id: number for number, job_id in enumerate(waiting, 1)}
            job_ids = self._state.job_ids()
            self._reader.keep_only(set(job_ids))
            found = (
                self._reader.entry(
                    job_id, waiting=positions.get(job_id, 0), started=started.get(job_id), asked=job_id in ending
                )
                for job_id in job_ids
            )
            return tuple(sorted((entry for entry in found if entry is not None), key=_rank))

    def entry(self, job_id: str) -> Entry:
        """Raises UserError `job_missing`."""
        found = next((entry for entry in self.entries() if entry.job.id == job_id), None)
        if found is None:
            raise UserError(
                "job_missing", f"There is no job {job_id!r}.", ["It may have been removed from the list meanwhile."]
            )
        return found

    def move(self, job_id: str, places: int) -> None:
        """Let a waiting job change places with those before (negative) or after it; it stops at either end.

        Raises UserError `job_missing`, `job_not_waiting`.
        """
        self._demand(job_id, "waiting")
        waiting = self._state.waiting.read()
        if job_id not in waiting:
            raise _not_waiting(self.entry(job_id))
        job_ids = list(waiting)
        at = job_ids.index(job_id)
        job_ids.remove(job_id)
        job_ids.insert(min(max(at + places, 0), len(job_ids)), job_id)
        for order, name in zip(_distinct(mark.order for mark in waiting.values()), job_ids, strict=True):
            # One that was taken meanwhile must not wait again.
            if waiting[name].order != order and self._state.waiting.has(name):
                self._state.waiting.put(name, replace(waiting[name], order=order))

    def cancel(self, job_id: str) -> None:
        """Take a waiting job out of the queue. Raises UserError `job_missing`, `job_not_waiting`."""
        self._demand(job_id, "waiting")
        if not self._cancelled(job_id):
            raise _not_waiting(self.entry(job_id))

    def stop(self, job_id: str, *, now: bool = False) -> None:
        """Ask a running job to stop: after its next piece of work, a training saves first. A waiting one is cancelled.

        Args:
            now: interrupt it, and end it if it is still there 10 seconds later.

        Raises UserError `job_missing`, `job_not_running`.
        """
        if self.entry(job_id).status == "waiting" and self._cancelled(job_id):
            return
        self.request(job_id, "stop")
        if now:
            self._state.ending.put(job_id, Mark())
            self.ensure_worker()

    def request(self, job_id: str, verb: Verb) -> None:
        """Ask a running training to save, sample or stop. Raises UserError `job_missing`, `job_not_running`."""
        self._demand(job_id, *AT_WORK)
        JobDir(self._state.jobs / job_id).request(verb)

    def paused(self) -> str:
        """Why no waiting training or other long job is started: "asked", "restart" (the machine was restarted since
        they were queued), or "" where nothing holds them back.
        """
        return self._state.paused()

    def set_paused(self, paused: bool) -> None:
        """Hold the waiting jobs back, or let them go on whatever held them."""
        if paused:
            self._state.jobs.mkdir(parents=True, exist_ok=True)
            self._state.pause_file.touch()
            return
        for job_id, mark in self._state.waiting.read().items():
            if mark.of_an_earlier_boot and self._state.waiting.has(job_id):
                self._state.waiting.put(job_id, mark.booted_now())
        self._state.pause_file.unlink(missing_ok=True)
        self.ensure_worker()

    def ensure_worker(self) -> None:
        """Start a worker unless one is alive or there is nothing to do. Costs little: call it as often as you like.

        A worker that is killed leaves its jobs running; the next one takes them over.
        """
        if time.monotonic() - self._spawned < _STARTING_S or not self._state.to_do() or self._worker_lives():
            return
        self._spawned = time.monotonic()
        command = [sys.executable, "-m", "trainer_core.jobs.worker", str(self._workspace.root.resolve())]
        reap(start(command, self._state.worker_log))

    def forget(self, job_id: str) -> None:
        """Move the folder of a job that ended to the trash. Raises UserError `job_missing`, `job_not_ended`."""
        self._demand(job_id, *ENDED)
        to_trash(self._workspace.trash, self._state.jobs / job_id, "job")

    def clean(self, keep: int = 50) -> None:
        """Remove the folders of ended jobs but the newest ``keep``.

        Those that the GUI queues by itself count apart: they must not push out what people asked for.
        """
        ended = [entry for entry in self.entries() if not entry.active]
        own = [entry for entry in ended if entry.own]
        asked_for = [entry for entry in ended if not entry.own]
        for entry in own[keep:] + asked_for[keep:]:
            shutil.rmtree(self._state.jobs / entry.job.id, ignore_errors=True)

    def _cancelled(self, job_id: str) -> bool:
        """False if a worker was quicker: who removes the mark decides."""
        if not self._state.waiting.remove(job_id):
            return False
        JobDir(self._state.jobs / job_id).write_state("created", cancelled=True)
        return True

    def _worker_lives(self) -> bool:
        self._state.jobs.mkdir(parents=True, exist_ok=True)
        with open(self._state.worker_lock, "ab") as file:
            return not lock_now(file)

    def _demand(self, job_id: str, *allowed: JobStatus) -> None:
        entry = self.entry(job_id)
        if entry.status in allowed:
            return
        if "waiting" in allowed:
            raise _not_waiting(entry)
        name, state = entry.job.title, entry.status
        if "running" in allowed:
            raise UserError("job_not_running", f"{name} is not running: it is {state}.")
        raise UserError("job_not_ended", f"{name} has not ended: it is {state}.", ["Stop or cancel it first."])


def _not_waiting(entry: Entry) -> UserError:
    message = f"{entry.job.title} is not waiting any more: it is {entry.status}."
    return UserError("job_not_waiting", message, ["Stop it instead if it is running."])


def _distinct(orders: Iterable[float]) -> Iterator[float]:
    """Ascending ones as they are, but that equal ones (two programs added at once) are told apart."""
    last = -math.inf
    for order in orders:
        last = order if order > last else last + 1e-3
        yield last


def _rank(entry: Entry) -> tuple[int, float, str]:
    if entry.at_work:
        return 0, entry.started or entry.job.created, entry.job.id
    if entry.status == "waiting":
        return 1, entry.position, entry.job.id
    return 2, -(entry.ended or 0.0), entry.job.id
