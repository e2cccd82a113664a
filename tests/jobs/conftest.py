"""A queue with real processes, and a cheap kind of job for it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from queues import cheap_workspace

from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Queue


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    with cheap_workspace(tmp_path, monkeypatch) as made:
        yield made


@pytest.fixture
def queue(workspace: Workspace) -> Queue:
    return Queue(workspace)


@pytest.fixture
def no_worker(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is queued stays where it is."""
    monkeypatch.setattr(Queue, "ensure_worker", lambda self: None)
