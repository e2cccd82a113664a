from pathlib import Path

import pytest
from run_folders import HeldQueue

from newbie_gui.runs.store import RunStore
from trainer_core.contracts.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "arbeit 图")
    made.create()
    return made


@pytest.fixture
def queue(workspace: Workspace) -> HeldQueue:
    return HeldQueue(workspace)


@pytest.fixture
def store(workspace: Workspace, queue: HeldQueue) -> RunStore:
    return RunStore(workspace, queue)
