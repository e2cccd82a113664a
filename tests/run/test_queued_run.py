"""A training through the queue: who queued it may be gone, and what is asked of the job is asked of the run."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import ROOT, events, losses, run_of

from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Entry, Queue

Make = Callable[..., TrainConfig]

QUEUE_IT = """
import sys
from pathlib import Path
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Queue
text = Path(sys.argv[2]).read_text(encoding="utf-8")
print(Queue(Workspace(Path(sys.argv[1]))).add("train", "a run", {}, resources=["cpu"], files={"config.toml": text}))
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "work")
    made.create()
    return made


def queued(workspace: Workspace, config: TrainConfig) -> str:
    """By a process that is gone at once."""
    file = workspace.root / "config.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    command = [sys.executable, "-c", QUEUE_IT, str(workspace.root), str(file)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True).stdout.strip()


def until(queue: Queue, job_id: str, condition: Callable[[Entry], bool]) -> Entry:
    deadline = time.monotonic() + 120
    while not condition(entry := queue.entry(job_id)):
        assert time.monotonic() < deadline and entry.status not in ("failed", "cancelled"), entry
        time.sleep(0.02)
    return entry


def test_17_a_queued_run_needs_nobody_and_hears_what_is_asked_of_its_job(config: Make, workspace: Workspace) -> None:
    made = config(num_epochs=3, save_epochs_interval=100)
    queue = Queue(workspace)
    job_id = queued(workspace, made)
    entry = until(queue, job_id, lambda entry: entry.phase == "training")
    assert (entry.status, entry.total) == ("running", 12)
    queue.request(job_id, "save")
    entry = until(queue, job_id, lambda entry: entry.status == "finished")
    assert len(losses(made)) == 12 and (entry.done, entry.total) == (12, 12)
    assert len(events(made, "checkpoint")) == 2
    assert entry.run is not None and entry.run.path == run_of(made).path
    assert entry.result == {"run": str(run_of(made).path.resolve())}
