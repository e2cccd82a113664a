"""What the tests of the queue share: a cheap kind of job, looking at processes, waiting."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs import spawn
from trainer_core.jobs.marks import QueueState
from trainer_core.jobs.queue import Entry, Queue

# Python loads a module of this name when it starts: it stands in for the function of the kind "tokens".
FAKE_KIND = '''
import sys, types

def run(spec, job):
    """Count to spec["count"], ten a second; fail or be killed at the end if asked to."""
    import os, time
    from trainer_core.contracts.errors import UserError
    print("counting", flush=True)
    for number in range(spec.get("count", 0)):
        job.progress("counting", number, spec["count"])
        time.sleep(0.1)
    if spec.get("deaf"):
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(60)
    if spec.get("fail"):
        raise UserError("no_luck", "It did not work.", ["Try again."])
    if spec.get("signal"):
        os.kill(os.getpid(), spec["signal"])
    return {"counted": spec.get("count", 0), "cards": os.environ.get("CUDA_VISIBLE_DEVICES")}

fake = types.ModuleType("trainer_core.tools.job_tokens")
fake.run = run
sys.modules[fake.__name__] = fake
'''


@contextmanager
def cheap_workspace(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    """A workspace in which "tokens" is the cheap kind of job; whatever works there is ended with it."""
    made = Workspace(folder / "arbeit 絵")
    made.create()
    (folder / "sitecustomize.py").write_text(FAKE_KIND, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))
    yield made
    for process in processes_of(made):
        spawn.kill(process.pid)


def processes_of(workspace: Workspace) -> list[psutil.Process]:
    """The worker and the jobs of a workspace; none of them is a child of the test for long."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(workspace.root) in word for word in process.cmdline()) and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


def worker_of(workspace: Workspace) -> psutil.Process | None:
    for process in processes_of(workspace):
        # One that ends between the two looks is none any more.
        with suppress(psutil.NoSuchProcess):
            if "trainer_core.jobs.worker" in process.cmdline():
                return process
    return None


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def until_status(queue: Queue, job_id: str, *statuses: str, seconds: float = 60.0) -> Entry:
    until(lambda: queue.entry(job_id).status in statuses, seconds)
    return queue.entry(job_id)


def log_of(workspace: Workspace) -> str:
    return QueueState(workspace.jobs).worker_log.read_text(encoding="utf-8")
