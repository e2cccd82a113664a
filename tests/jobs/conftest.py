"""A queue with real processes, and a cheap kind of job for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from queues import FAKE_KIND, processes_of

from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs import spawn
from trainer_core.jobs.queue import Queue


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    made = Workspace(tmp_path / "arbeit 絵")
    made.create()
    (tmp_path / "sitecustomize.py").write_text(FAKE_KIND, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    yield made
    for process in processes_of(made):
        spawn.kill(process.pid)


@pytest.fixture
def queue(workspace: Workspace) -> Queue:
    return Queue(workspace)


@pytest.fixture
def no_worker(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is queued stays where it is."""
    monkeypatch.setattr(Queue, "ensure_worker", lambda self: None)
