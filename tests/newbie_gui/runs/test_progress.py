"""The line of progress says what a run is at, before, between and after its steps."""

import pytest
from run_folders import make_run, tell_steps

from newbie_gui.runs.progress import Progress, progress_of
from newbie_gui.runs.store import RunStore
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.planning.hardware import Machine


def progress(store: RunStore, run: RunDir) -> Progress:
    [row] = store.rows()
    return progress_of(row, store.history(run.path).refresh(), None, Machine())


def told(run: RunDir, phase: str, done: int, total: int) -> None:
    EventLog(run.events_file).emit("phase", phase=phase, done=done, total=total)


def test_what_comes_before_the_first_step_is_shown(store: RunStore, workspace: Workspace) -> None:
    run = make_run(workspace, "one", "running")
    EventLog(run.events_file).emit("started", pid=1)
    told(run, "drawing samples", 1, 4)
    now = progress(store, run)
    assert (now.phase, now.done, now.total, now.between) == ("drawing samples", 1, 4, "")
    told(run, "training", 0, 100)
    now = progress(store, run)
    assert (now.phase, now.done, now.total, now.seconds_per_step) == ("steps", 0, 100, None)


@pytest.mark.parametrize(("phase", "between"), [("validating", "validating"), ("training", "")])
def test_steps_and_speed_stay_while_it_draws_between_two(
    store: RunStore, workspace: Workspace, phase: str, between: str
) -> None:
    run = make_run(workspace, "one", "running")
    EventLog(run.events_file).emit("started", pid=1)
    tell_steps(run, 1, 5)
    told(run, phase, 5, 100)
    now = progress(store, run)
    assert (now.phase, now.done, now.total, now.between) == ("steps", 5, 100, between)
    assert now.seconds_per_step == 0.5
