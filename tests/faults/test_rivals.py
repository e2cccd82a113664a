"""40: whoever else wants the same, there is one run and no damage."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from queues import cheap_workspace, log_of, until, until_status, worker_of
from runs import assert_same_run, config_file, events, losses, run_of
from warm import finish, launch
from warm import until as child_until

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.jobdir import JobDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs import spawn
from trainer_core.jobs.queue import Queue

Make = Callable[..., TrainConfig]
RIVALS = ("two starts", "resume of a running run", "stop twice", "two workers", "stop twice in the queue")


@pytest.fixture(scope="module")
def figure() -> Callable[[str], str]:
    seen: set[str] = set()

    def record(rival: str) -> str:
        assert rival in RIVALS
        seen.add(rival)
        return f"{len(seen)} / {len(RIVALS)}"

    return record


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    with cheap_workspace(tmp_path, monkeypatch) as made:
        yield made


def test_40_two_starts_at_once_make_one_run(
    config: Make, left_alone: TrainConfig, tmp_path: Path, record_figure: Callable, figure: Callable
) -> None:
    made = config()
    file = config_file(made)
    children = [launch(["train", str(file)], tmp_path / f"log {number}") for number in range(3)]
    assert sorted(finish(child) for child in children) == [0, 1, 1]
    told = "".join((tmp_path / f"log {number}").read_text(encoding="utf-8") for number in range(3))
    assert told.count("error: Another trainer is at work in") == 2 and len(events(made, "started")) == 1
    assert_same_run(made, left_alone)
    record_figure("faults: rivals", figure("two starts"))


def test_40_resuming_a_running_run_is_refused_and_changes_nothing(
    config: Make, left_alone: TrainConfig, tmp_path: Path, record_figure: Callable, figure: Callable
) -> None:
    made = config()
    child = launch(["train", str(config_file(made))], tmp_path / "log")
    assert child_until(lambda: events(made, "step"), child)
    before = run_of(made).config_file.read_bytes()
    rival = launch(["train", str(config_file(config(num_epochs=9)))], tmp_path / "rival.log")
    assert finish(rival) == 1 and finish(child) == 0
    assert "choose another output_name" in (tmp_path / "rival.log").read_text(encoding="utf-8")
    assert run_of(made).config_file.read_bytes() == before and run_of(made).status() == "finished"
    assert_same_run(made, left_alone)
    record_figure("faults: rivals", figure("resume of a running run"))


def test_40_stop_pressed_twice_in_every_way_stops_once_and_loses_nothing(
    config: Make, left_alone: TrainConfig, tmp_path: Path, record_figure: Callable, figure: Callable
) -> None:
    made = config()
    child = launch(["train", str(config_file(made))], tmp_path / "log")
    assert child_until(lambda: events(made, "step"), child)
    assert child.pid is not None
    for _ in range(2):
        run_of(made).request("stop")
        os.kill(child.pid, signal.SIGTERM)
    assert finish(child) in (0, -signal.SIGTERM)
    assert run_of(made).status() == "stopped" and len(events(made, "stopped")) == 1
    assert 0 < len(losses(made)) < 8
    assert finish(launch(["train", str(config_file(made))], tmp_path / "log")) == 0
    assert_same_run(made, left_alone)
    record_figure("faults: rivals", figure("stop twice"))


def test_40_three_workers_at_once_do_each_job_once(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, record_figure: Callable, figure: Callable
) -> None:
    queue = Queue(workspace)
    with monkeypatch.context() as patch:
        patch.setattr(Queue, "ensure_worker", lambda self: None)
        ids = [queue.add("tokens", str(number), {"count": 3}, resources=[f"r{number % 2}"]) for number in range(4)]
    command = [sys.executable, "-m", "trainer_core.jobs.worker", str(workspace.root)]
    rivals = [subprocess.Popen(command, cwd=spawn.REPOSITORY, env=spawn.job_environment(os.environ)) for _ in "abc"]
    for job_id in ids:
        until_status(queue, job_id, "finished")
    assert [times_begun(workspace, job_id) for job_id in ids] == [1] * 4
    # Who finds another at work asks for its place for a moment before it ends; the jobs may be done sooner.
    until(lambda: sum(process.poll() is None for process in rivals) <= 1, seconds=4.0)
    for process in rivals:
        process.kill()
        process.wait()
    record_figure("faults: rivals", figure("two workers"))


def times_begun(workspace: Workspace, job_id: str) -> int:
    return (workspace.jobs / job_id / "train.log").read_text(encoding="utf-8").count("counting")


def test_40_stopped_by_two_at_once_a_job_ends_once(
    workspace: Workspace, record_figure: Callable, figure: Callable
) -> None:
    queue, other = Queue(workspace), Queue(workspace)
    job_id = queue.add("tokens", "long", {"count": 600}, resources=["cpu"])
    until(lambda: queue.entry(job_id).done > 0)
    presses = [threading.Thread(target=view.stop, args=(job_id,)) for view in (queue, other) for _ in range(3)]
    for press in presses:
        press.start()
    for press in presses:
        press.join()
    assert until_status(queue, job_id, "stopped").code == ""
    assert other.entry(job_id).status == "stopped" and worker_of(workspace) is not None
    assert "Traceback" not in log_of(workspace)
    record_figure("faults: rivals", figure("stop twice in the queue"))


@pytest.mark.parametrize("order", [("worker", "job"), ("job", "worker")], ids="-".join)
def test_17_worker_and_job_ended_politely_lose_neither_the_end_nor_what_waits(
    workspace: Workspace, order: tuple[str, str], ended: set[tuple[str, str]], record_figure: Callable
) -> None:
    """With the page and a training in every order: test_signals.py, in the long form."""
    queue = Queue(workspace)
    long, waiting = (queue.add("tokens", "x", {"count": number}, resources=["cpu"]) for number in (600, 1))
    until(lambda: queue.entry(long).done > 0)
    worker = worker_of(workspace)
    assert worker is not None
    pids = {"worker": worker.pid, "job": JobDir(workspace.jobs / long).read_state()["pid"]}
    for name in order:
        os.kill(pids[name], signal.SIGTERM)
        until(lambda name=name: not psutil.pid_exists(pids[name]), 10.0)
    again = Queue(workspace)
    until_status(again, long, "stopped", seconds=5.0)
    again.ensure_worker()
    until_status(again, waiting, "finished")
    assert again.entry(long).status == "stopped" and times_begun(workspace, long) == 1
    ended.add(order)
    record_figure("faults: signals to worker and job", f"{len(ended)} / 2")


@pytest.fixture(scope="module")
def ended() -> set[tuple[str, str]]:
    return set()
