"""Where a job stands, read from its folder and its mark, in the words of a queue."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from trainer_core.contracts.config import load_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import parsed
from trainer_core.contracts.fsutil import tail
from trainer_core.contracts.jobdir import Job, JobDir
from trainer_core.contracts.liveness import is_alive
from trainer_core.contracts.phase_names import TRAINING
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.rundir import RunDir
from trainer_core.jobs.marks import Mark, is_held

JobStatus = Literal["waiting", "running", "stopping", "finished", "stopped", "failed", "cancelled"]
AT_WORK: tuple[JobStatus, ...] = ("running", "stopping")
ACTIVE: tuple[JobStatus, ...] = ("waiting", *AT_WORK)
ENDED: tuple[JobStatus, ...] = ("finished", "stopped", "failed", "cancelled")
# What the GUI queues by itself.
_OWN_KINDS = frozenset({"import", "index", "tokens"})
# Of the states on disk those that stay.
_FINAL = frozenset({"finished", "stopped", "failed"})
# Enough for the newest step or phase behind a few warnings.
_TAIL_BYTES = 16 * 1024
# Between a new job's folder and its mark.
_ADDING_S = 10.0


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One job as the queue sees it.

    Attributes:
        position: place among the waiting ones, from 1; 0 for all others.
        phase, done, total: what a running job does and how far it is; a training's steps are the phase "training".
            Of a training that ended, done and total are its steps. "" and 0 where nothing is known.
        started, ended: Unix seconds, ``None`` for not yet.
        code, message, hints: why it failed, or how it was stopped.
        result: what the job's function returned.
        run: the folder of a training's run.
    """

    job: Job
    status: JobStatus
    position: int = 0
    phase: str = ""
    done: int = 0
    total: int = 0
    started: float | None = None
    ended: float | None = None
    code: str = ""
    message: str = ""
    hints: tuple[str, ...] = ()
    result: Mapping[str, Any] = field(default_factory=dict)
    run: RunDir | None = None

    @property
    def at_work(self) -> bool:
        """It has a process."""
        return self.status in AT_WORK

    @property
    def active(self) -> bool:
        """It is at work or will be."""
        return self.status in ACTIVE

    @property
    def held(self) -> bool:
        """A paused queue does not start it."""
        return is_held(self.job.resources)

    @property
    def own(self) -> bool:
        """The GUI queued it by itself; nobody asked for it."""
        return self.job.kind in _OWN_KINDS


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the newest event tells."""

    phase: str = ""
    done: int = 0
    total: int = 0


def ended_silently(
    job: Job, *, exit_code: int | None = None, asked: bool
) -> tuple[Literal["stopped", "failed"], UserError]:
    """The status of a job that did not say itself how it ended, and the reason.

    Args:
        exit_code: negative for a signal; ``None`` where nobody saw it end.
        asked: it was to end at once.
    """
    if asked:
        return "stopped", UserError("job_ended_at_once", "Ended at once, as asked.", _again(job))
    return "failed", _death(job, exit_code)


def _death(job: Job, exit_code: int | None) -> UserError:
    if exit_code is None:
        return UserError(
            "job_interrupted",
            "The process of this job is gone: it was ended from outside, or the machine was restarted.",
            _again(job),
        )
    if exit_code < 0:
        reason = " The system does so with signal 9 when main memory is full." if exit_code == -9 else ""
        memory = ["Close other programs, or choose settings that need less main memory."] if exit_code == -9 else []
        message = f"The process of this job was killed (signal {-exit_code}).{reason}"
        return UserError("job_killed", message, [*memory, *_again(job)])
    return UserError(
        "job_died",
        f"The process of this job ended with exit code {exit_code} before it could say why.",
        ["The log of this job tells more."],
    )


def run_of(folder: JobDir) -> RunDir | None:
    """The run that a training's config names; ``None`` where it cannot be read."""
    try:
        config = load_config(folder.config_file)
    except UserError:
        return None
    return RunDir(REPOSITORY / config.output_dir / config.output_name)


def is_running(state: Mapping[str, Any], mark: Mark | None) -> bool:
    """True for a job whose process lives, or which a worker has just taken."""
    if state.get("status") == "running":
        return is_alive(state.get("pid"), state.get("process_start_time"))
    if mark is None or state.get("status") != "created":
        return False
    return mark.pid == 0 or is_alive(mark.pid, mark.process_start_time)


class EntryReader:
    """Reads jobs below one folder; what cannot change any more is read once."""

    def __init__(self, jobs: Path) -> None:
        self._jobs = jobs
        self._read: dict[str, tuple[Job, RunDir | None]] = {}
        self._ended: dict[str, Entry] = {}
        self._tails: dict[Path, tuple[tuple[int, int, float], Progress]] = {}

    def keep_only(self, job_ids: set[str]) -> None:
        """Forget what was read of jobs that are gone."""
        known: dict[str, Any]
        for known in (self._read, self._ended):
            for job_id in known.keys() - job_ids:
                known.pop(job_id, None)

    def entry(self, job_id: str, *, waiting: int, started: Mark | None, asked: bool) -> Entry | None:
        """``None`` where no readable job is.

        Args:
            waiting: its place among the waiting ones, 0 for none.
            started: its mark among the started ones.
            asked: it was asked to end at once.
        """
        if job_id in self._ended and started is None:
            return self._ended[job_id]
        folder = JobDir(self._jobs / job_id)
        try:
            job, run = self._job(folder)
        except UserError:
            return None
        state = folder.read_state()
        if is_running(state, started):
            return self._running(folder, job, run, state, asked=asked or folder.stop_wanted())
        if state.get("status") in ("created", None) and started is None and not state.get("cancelled"):
            if waiting:
                return Entry(job=job, status="waiting", position=waiting, run=run)
            if time.time() - job.created < _ADDING_S:
                return None
        entry = _ended(folder, job, run, state, taken=started is not None, asked=asked)
        if started is None and (state.get("status") in _FINAL or state.get("cancelled")):
            self._ended[job_id] = entry
        return entry

    def _job(self, folder: JobDir) -> tuple[Job, RunDir | None]:
        known = self._read.get(folder.path.name)
        if known is not None:
            return known
        job = folder.read_job()
        run = run_of(folder) if job.kind == "train" else None
        if run or job.kind != "train":
            # A training's run that is not known is looked for again: it must not stay apart from its job for good.
            self._read[job.id] = (job, run)
        return job, run

    def _running(self, folder: JobDir, job: Job, run: RunDir | None, state: Mapping[str, Any], *, asked: bool) -> Entry:
        started = state.get("started")
        progress = Progress()
        if started is not None:
            progress = self._tail((run or folder).events_file, started)
        return Entry(
            job=job, status="stopping" if asked else "running", started=started, run=run,
            phase=progress.phase, done=progress.done, total=progress.total,
        )  # fmt: skip

    def _tail(self, events: Path, since: float) -> Progress:
        try:
            status = events.stat()
            version = (status.st_size, status.st_mtime_ns, since)
            known = self._tails.get(events)
            if known is None or known[0] != version:
                self._tails[events] = known = (version, newest_progress(events, since))
        except OSError:
            return Progress()
        return known[1]


def newest_progress(events: Path, since: float) -> Progress:
    """From the end of an event log; events older than ``since`` are of another life of it. Raises OSError."""
    for line in reversed(tail(events, _TAIL_BYTES).splitlines()):
        event = parsed(line) or {}
        if event.get("time", 0.0) < since - 1.0:
            # Also a line cut by the log's end.
            continue
        if event.get("event") == "step":
            return Progress(phase=TRAINING, done=event["step"], total=event["total_steps"])
        if event.get("event") == "phase":
            return Progress(phase=event["phase"], done=event["done"], total=event["total"])
    return Progress()


def _ended(
    folder: JobDir, job: Job, run: RunDir | None, state: Mapping[str, Any], *, taken: bool, asked: bool
) -> Entry:
    told = dict(state)
    if state.get("status") not in _FINAL:
        # A job that no worker ever took has not died.
        died = not state.get("cancelled") and (taken or state.get("status") == "running")
        told["status"] = "cancelled"
        if died:
            status, reason = ended_silently(job, asked=asked)
            told |= {"status": status, **reason.fields()}
            told["time"] = _last_sign(folder, state)
    return Entry(
        job=job, run=run, status=told["status"], started=told.get("started"), ended=told.get("time"),
        done=told.get("step", 0), total=told.get("total_steps", 0), code=told.get("code", ""),
        message=told.get("message", ""), hints=tuple(told.get("hints", ())), result=told.get("result") or {},
    )  # fmt: skip


def _last_sign(folder: JobDir, state: Mapping[str, Any]) -> float:
    """When a job that died was last known to live, Unix seconds."""
    signs = [path.stat().st_mtime for path in (folder.events_file, folder.log_file) if path.exists()]
    return float(max([*signs, state.get("time", 0.0)]))


def _again(job: Job) -> list[str]:
    if job.kind == "train":
        return ["Resume the run: it goes on from its last checkpoint."]
    return ["Start it again."]
