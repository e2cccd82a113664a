"""The worker of one queue: ``python -m trainer_core.jobs.worker WORKSPACE``.

It starts each waiting job as a child process as soon as all that the job occupies is free, oldest first; it sees to
jobs that shall end at once, and writes down how a job ended that could not say so itself. It ends when nothing is left
to do. Killed, it leaves its children running; the next worker takes them over.
"""

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import lock_now
from trainer_core.contracts.jobdir import JobDir
from trainer_core.contracts.liveness import is_alive
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs import spawn
from trainer_core.jobs.entries import ended_silently, is_running, run_of
from trainer_core.jobs.marks import Mark, QueueState
from trainer_core.jobs.queue import Queue
from trainer_core.jobs.ranks import repository_python

_POLL_S = 0.25
_IDLE_S = 5.0
# From "end now" to the end by force.
_GRACE_S = 10.0
# A child needs a moment from its start to its first word; after this one that nobody knows was never started.
_STARTING_S = 10.0
_LOCK_S = 1.0


class Worker:
    """`tick` does whatever there is to do now; it never waits for a job."""

    def __init__(self, workspace: Workspace) -> None:
        self._state = QueueState(workspace.jobs)
        self._queue = Queue(workspace)
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._taken_over: dict[str, float] = {}
        self._interrupted: set[str] = set()

    def tick(self) -> bool:
        """True while there is something to start or to watch."""
        for job_id, mark in self._state.started.read().items():
            try:
                self._watch(job_id, mark)
            except OSError as error:
                # A full disk: looked at again at the next tick.
                _say(f"{job_id}: {error}")
        try:
            self._start_waiting()
        except OSError as error:
            _say(str(error))
        return self._state.to_do()

    def _watch(self, job_id: str, mark: Mark) -> None:
        folder = JobDir(self._state.jobs / job_id)
        child = self._children.get(job_id)
        if child is not None:
            running = child.poll() is None
        else:
            running = is_running(folder.read_state(), mark) and not self._never_started(job_id, folder, mark)
        if running:
            self._end_if_asked(job_id, folder, mark)
        elif self._state.started.has(job_id):
            self._note_end(job_id, folder, mark, child.returncode if child else None)

    def _never_started(self, job_id: str, folder: JobDir, mark: Mark) -> bool:
        """A worker died between taking the job and starting it: it waits again. Also where it did start but told
        nobody, for a job runs once only however often it is started.
        """
        if mark.pid or folder.read_state().get("status") == "running":
            return False
        since = self._taken_over.setdefault(job_id, time.monotonic())
        return time.monotonic() - since > _STARTING_S and self._state.started.move(job_id, self._state.waiting)

    def _end_if_asked(self, job_id: str, folder: JobDir, mark: Mark) -> None:
        asked = self._state.ending.asked_at(job_id)
        if not asked:
            return
        pids = _pids(folder, mark)
        if time.time() - asked > _GRACE_S:
            for pid in pids:
                spawn.kill(pid)
        elif job_id not in self._interrupted:
            self._interrupted.add(job_id)
            for pid in pids:
                spawn.interrupt(pid)

    def _note_end(self, job_id: str, folder: JobDir, mark: Mark, exit_code: int | None) -> None:
        state = folder.read_state()
        if state.get("status") in ("created", "running"):
            _write_silent_end(folder, exit_code, asked=self._state.ending.has(job_id))
        if exit_code != 0:
            # Processes of a training on several cards would wait for ever for the one that is gone.
            spawn.end_rest(mark.pid)
        _say(f"{job_id}: {folder.read_state().get('status')}")
        self._state.started.remove(job_id)
        self._state.ending.remove(job_id)
        self._children.pop(job_id, None)
        self._interrupted.discard(job_id)
        self._queue.clean()

    def _start_waiting(self) -> None:
        waiting = self._state.waiting.read()
        if not waiting:
            return
        paused = bool(self._state.paused())
        taken = {name for mark in self._state.started.read().values() for name in mark.resources}
        for job_id, mark in waiting.items():
            if paused and mark.held:
                continue
            if taken.isdisjoint(mark.resources):
                self._start(job_id, mark)
            # Also those of a job that must wait: a later one does not overtake it.
            taken.update(mark.resources)

    def _start(self, job_id: str, mark: Mark) -> None:
        if not self._state.waiting.move(job_id, self._state.started):
            return
        folder = JobDir(self._state.jobs / job_id)
        state = folder.read_state()
        if state.get("status") != "created" or state.get("cancelled"):
            # Moved within the queue at the very moment in which it was taken or cancelled.
            self._state.started.remove(job_id)
            return
        try:
            child = spawn.start(repository_python(["job", str(folder.path)]), folder.log_file)
        except OSError as error:
            message = f"The job could not be started: {error.strerror}."
            folder.write_state("failed", code="job_not_started", message=message)
            self._state.started.remove(job_id)
            return
        self._children[job_id] = child
        with_pid = Mark(resources=mark.resources, pid=child.pid, process_start_time=_start_time(child.pid))
        self._state.started.put(job_id, with_pid)
        _say(f"{job_id}: started as process {child.pid}")


def main(arguments: list[str]) -> int:
    """Returns 0 also where another worker is at work already."""
    workspace = Workspace(Path(arguments[0]))
    state = QueueState(workspace.jobs)
    while True:
        with _only_worker(state) as alone:
            if not alone:
                return 0
            _work(Worker(workspace))
        # What was queued between the last look and the end of the lock saw a worker that was about to end.
        if not state.to_do():
            return 0


def _work(worker: Worker) -> None:
    busy_at = time.monotonic()
    while time.monotonic() - busy_at < _IDLE_S:
        if worker.tick():
            busy_at = time.monotonic()
        time.sleep(_POLL_S)


@contextmanager
def _only_worker(state: QueueState) -> Iterator[bool]:
    state.jobs.mkdir(parents=True, exist_ok=True)
    with open(state.worker_lock, "ab") as file:
        deadline = time.monotonic() + _LOCK_S
        # Whoever looks whether a worker lives holds the lock for a moment.
        while not (mine := lock_now(file)) and time.monotonic() < deadline:
            time.sleep(0.05)
        yield mine


def _write_silent_end(folder: JobDir, exit_code: int | None, *, asked: bool) -> None:
    try:
        job = folder.read_job()
    except UserError as error:
        folder.write_state("failed", **error.fields())
        return
    started = folder.read_state().get("started")
    status, reason = ended_silently(job, exit_code=exit_code, asked=asked)
    folder.write_state(status, started=started, **_steps(folder, started), **reason.fields())


def _steps(folder: JobDir, started: float | None) -> Mapping[str, int]:
    """How far a training came."""
    run = run_of(folder)
    state = run.read_state() if run else {}
    if started is None or state.get("time", 0.0) < started:
        return {}
    return {name: state.get(name, 0) for name in ("step", "total_steps")}


def _pids(folder: JobDir, mark: Mark) -> set[int]:
    """Where Python is started through a launcher, as on Windows, the job itself is a child of what was started."""
    state = folder.read_state()
    known = ((mark.pid, mark.process_start_time), (state.get("pid"), state.get("process_start_time")))
    running = state.get("status") == "running"
    return {pid for pid, start in known[: 2 if running else 1] if isinstance(pid, int) and is_alive(pid, start)}


def _start_time(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return time.time()


def _say(sentence: str) -> None:
    print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {sentence}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
