"""The list of runs: all of them, in the state they really are in, and followed without ghosts."""

import time

import psutil
import pytest
from run_folders import HeldQueue, config, make_run, tell_steps

from newbie_gui.runs.store import RunStore, key_of
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import truncate_after_step
from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.contracts.jobdir import Job
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Entry


def states(store: RunStore) -> dict[str, str]:
    store.forget_list()
    return {row.name: row.state for row in store.rows()}


def entry(run: RunDir, status: str, **more: object) -> Entry:
    job = Job(id=f"job-{run.path.name}", kind="train", title=run.path.name, created=1.0)
    return Entry(job=job, status=status, run=run, **more)  # type: ignore[arg-type]


def test_runs_are_in_the_state_they_really_are_in(store: RunStore, workspace: Workspace, queue: HeldQueue) -> None:
    make_run(workspace, "fertig")
    make_run(workspace, "at work", "running")
    dead = make_run(workspace, "dead", "running")
    state = {**dead.read_state(), "process_start_time": psutil.Process().create_time() - 500}
    write_json_atomic(dead.state_file, state)
    (workspace.output / "no run").mkdir()
    queue.held = [entry(make_run(workspace, "again", "stopped"), "waiting")]
    assert states(store) == {"fertig": "finished", "at work": "running", "dead": "interrupted", "again": "waiting"}


def test_live_runs_come_first_then_the_newest(store: RunStore, workspace: Workspace) -> None:
    for name, status in (("old", "finished"), ("live", "running"), ("new", "failed")):
        make_run(workspace, name, status)
    assert [row.name for row in store.rows()] == ["live", "new", "old"]
    assert [row.name for row in store.rows(text="NE")] == ["new"]
    assert [row.name for row in store.rows(state="finished")] == ["old"]


def test_a_job_that_failed_before_its_run_folder_was_made_is_listed(
    store: RunStore, workspace: Workspace, queue: HeldQueue
) -> None:
    job = Job(id="one", kind="train", title="broken", created=1.0)
    queue.held = [Entry(job=job, status="failed", run=RunDir(workspace.output / "broken"), code="x")]
    [row] = store.rows()
    assert (row.name, row.state, row.begun) == ("broken", "failed", False)
    assert row.folder == workspace.jobs / "one" and store.entry(row) is queue.held[0]


def test_a_job_that_failed_after_the_run_wrote_last_makes_it_failed(
    store: RunStore, workspace: Workspace, queue: HeldQueue
) -> None:
    run = make_run(workspace, "again", "stopped")
    queue.held = [entry(run, "failed", ended=time.time() - 100)]
    assert states(store) == {"again": "stopped"}
    queue.held = [entry(run, "failed", ended=time.time() + 1)]
    assert states(store) == {"again": "failed"}


def test_runs_beside_a_known_one_elsewhere_are_listed(
    store: RunStore, workspace: Workspace, queue: HeldQueue, tmp_path
) -> None:
    elsewhere = RunDir(tmp_path / "elsewhere" / "one")
    elsewhere.create(config(workspace, "one"))
    RunDir(tmp_path / "elsewhere" / "two").create(config(workspace, "two"))
    queue.held = [entry(elsewhere, "finished")]
    assert {row.name for row in store.rows()} == {"one", "two"}


def test_a_key_finds_its_run_and_an_unknown_one_is_said(store: RunStore, workspace: Workspace) -> None:
    run = make_run(workspace, "名字")
    key = key_of(run.path)
    assert key.isalnum() and store.row(key).folder == run.path and store.row(key_of(run.path)) == store.row(key)
    with pytest.raises(UserError) as caught:
        store.row("../etc")
    assert caught.value.code == "run_missing"


def test_a_resumed_run_leaves_no_ghost_tail(store: RunStore, workspace: Workspace) -> None:
    run = make_run(workspace, "one", "running")
    tell_steps(run, 1, 30)
    history = store.history(run.path)
    before = history.refresh()
    assert before.steps == 30 and history.refresh().version == before.version
    truncate_after_step(run.events_file, 20)
    tell_steps(run, 21, 22, loss=9.0)
    after = store.history(run.path).refresh()
    assert after.steps == 22 and after.version > before.version
    assert history.loss().values[-2:] == pytest.approx([9.021, 9.022])


def test_settings_are_kept_of_the_runs_looked_at_last_only(store: RunStore, workspace: Workspace) -> None:
    runs = [make_run(workspace, f"run-{number}", num_epochs=number + 1) for number in range(20)]
    for number, run in enumerate(runs):
        row = store.row(key_of(run.path))
        settings = store.config(row)
        assert settings is not None and settings.num_epochs == number + 1
    assert len(store._configs) == 12 and runs[-1].config_file in store._configs
