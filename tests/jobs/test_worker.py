"""The worker with real processes: lanes, ends of every kind, kills of every party."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest
from queues import processes_of, until, until_status, worker_of

from trainer_core.contracts.events import read_events
from trainer_core.contracts.jobdir import JobDir
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs import spawn, worker
from trainer_core.jobs.queue import Queue
from trainer_core.jobs.ranks import repository_python


def count(queue: Queue, number: int, resource: str = "tokens", **spec: object) -> str:
    return queue.add("tokens", f"to {number}", {"count": number, **spec}, resources=[resource])


def statuses(queue: Queue) -> list[str]:
    return [entry.status for entry in queue.entries()]


def kill_worker(workspace: Workspace) -> None:
    alive = worker_of(workspace)
    assert alive is not None
    alive.kill()
    # Its name is gone a little before its lock is; when nothing is left of it, both are.
    until(lambda: not psutil.pid_exists(alive.pid))


def test_a_job_runs_tells_its_progress_and_leaves_its_result(queue: Queue, workspace: Workspace) -> None:
    # Long enough to be seen on its way on a busy machine.
    job_id = count(queue, 20)
    until(lambda: queue.entry(job_id).done > 2)
    entry = queue.entry(job_id)
    assert (entry.status, entry.phase, entry.total, entry.position) == ("running", "counting", 20, 0)
    entry = until_status(queue, job_id, "finished")
    assert entry.result == {"counted": 20, "cards": ""} and entry.started < entry.ended
    folder = JobDir(workspace.jobs / job_id)
    assert "counting" in folder.log_file.read_text(encoding="utf-8")
    told = [event["event"] for event in read_events(folder.events_file)]
    assert (told[0], told[-1]) == ("started", "finished")


def test_32_no_text_of_a_person_is_on_a_command_line(queue: Queue, workspace: Workspace) -> None:
    """What was typed goes by file: worker and job are told the workspace's own folders alone."""
    evil = "; touch /tmp/x && $(id) --help"
    job_id = queue.add("tokens", evil, {"count": 20, "text": evil}, resources=["light"], files={"config.toml": evil})
    until_status(queue, job_id, "running")
    until(lambda: len(processes_of(workspace)) == 2)
    told = [process.cmdline() for process in processes_of(workspace)]
    assert not [words for words in told if any("touch" in word or "--help" in word for word in words)]
    assert {words[-1] for words in told} <= {str(workspace.root), str(workspace.jobs / job_id)}
    queue.stop(job_id)


def test_lanes_run_side_by_side_and_each_in_order(queue: Queue) -> None:
    first, second, beside = count(queue, 60), count(queue, 0), count(queue, 0, "light")
    until_status(queue, beside, "finished")
    assert (queue.entry(first).status, queue.entry(second).status) == ("running", "waiting")
    queue.stop(first)
    assert until_status(queue, first, "stopped").message == ""
    until_status(queue, second, "finished")


def test_a_failure_comes_with_its_sentence_and_hints(queue: Queue) -> None:
    entry = until_status(queue, count(queue, 0, fail=True), "failed")
    assert (entry.code, entry.message, entry.hints) == ("no_luck", "It did not work.", ("Try again.",))
    entry = until_status(queue, count(queue, 0, signal=int(signal.SIGTERM)), "stopped")
    queue.forget(entry.job.id)
    assert statuses(queue) == ["failed"]


def test_a_killed_job_is_failed_at_once_and_says_why(queue: Queue) -> None:
    job_id = count(queue, 0, signal=int(signal.SIGKILL))
    entry = until_status(queue, job_id, "failed")
    until(lambda: queue.entry(job_id).code == "job_killed", 2.0)
    entry = queue.entry(job_id)
    assert "signal 9" in entry.message and "main memory is full" in entry.message and len(entry.hints) == 2


def test_a_killed_worker_leaves_its_jobs_and_the_next_takes_them_over(queue: Queue, workspace: Workspace) -> None:
    first, second = count(queue, 20), count(queue, 0)
    until(lambda: queue.entry(first).done > 0)
    kill_worker(workspace)
    again = Queue(workspace)
    again.ensure_worker()
    until(lambda: worker_of(workspace) is not None)
    third = count(again, 0)
    time_left = until_status(again, first, "finished")
    assert time_left.result["counted"] == 20
    started = [until_status(again, job_id, "finished").started for job_id in (second, third)]
    assert time_left.ended <= started[0] < started[1]


def test_worker_and_job_killed_leave_a_job_that_says_so(queue: Queue, workspace: Workspace) -> None:
    job_id = count(queue, 60)
    until(lambda: queue.entry(job_id).done > 0)
    kill_worker(workspace)
    for process in processes_of(workspace):
        process.kill()
    entry = until_status(queue, job_id, "failed", seconds=2.0)
    assert entry.code == "job_interrupted" and entry.hints == ("Start it again.",)
    fresh = Queue(workspace)
    fresh.ensure_worker()
    until(lambda: not (workspace.jobs / ".started" / job_id).exists())
    assert fresh.entry(job_id).code == "job_interrupted"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to be deaf to")
def test_now_ends_a_job_that_does_not_listen_even_when_the_worker_was_killed(
    queue: Queue, workspace: Workspace
) -> None:
    job_id = count(queue, 0, deaf=True)
    until(lambda: "counting" in log(workspace, job_id))
    kill_worker(workspace)
    fresh = Queue(workspace)
    fresh.stop(job_id, now=True)
    assert fresh.entry(job_id).status == "stopping"
    # As if it had been asked 11 seconds ago.
    os.utime(workspace.jobs / ".ending" / job_id, (time.time() - 11, time.time() - 11))
    entry = until_status(fresh, job_id, "stopped", seconds=5.0)
    assert entry.message == "Ended at once, as asked."
    until(lambda: [p for p in processes_of(workspace) if "job" in p.cmdline()] == [])


def test_now_interrupts_a_job_that_does(queue: Queue) -> None:
    job_id = count(queue, 500)
    until(lambda: queue.entry(job_id).done > 0)
    queue.stop(job_id, now=True)
    assert until_status(queue, job_id, "stopped", seconds=3.0).code == ""


def test_a_stop_before_the_process_has_begun_is_heard(queue: Queue, workspace: Workspace) -> None:
    job_id = count(queue, 500)
    until(lambda: (workspace.jobs / ".started" / job_id).exists())
    queue.stop(job_id)
    assert queue.entry(job_id).status in ("stopping", "stopped")
    assert until_status(queue, job_id, "stopped").done == 0


def test_a_paused_queue_starts_only_the_pages_own_work(queue: Queue) -> None:
    queue.set_paused(True)
    held, own = count(queue, 0, "light"), count(queue, 0, "tokens")
    until_status(queue, own, "finished")
    assert queue.entry(held).status == "waiting"
    queue.set_paused(False)
    until_status(queue, held, "finished")


def test_a_job_is_done_once(queue: Queue, workspace: Workspace) -> None:
    job_id = count(queue, 0)
    until_status(queue, job_id, "finished")
    command = repository_python(["job", str(workspace.jobs / job_id)])
    again = subprocess.run(command, cwd=REPOSITORY, env=spawn.job_environment({}), capture_output=True, text=True)
    assert again.returncode == 1 and "was begun before" in again.stderr
    assert queue.entry(job_id).status == "finished"


def test_there_is_one_worker_and_it_needs_little(
    queue: Queue, workspace: Workspace, record_figure: Callable[[str, float], None]
) -> None:
    job_id = count(queue, 200)
    until(lambda: queue.entry(job_id).done > 0)
    alive = worker_of(workspace)
    assert alive is not None
    before, since = sum(alive.cpu_times()[:2]), time.monotonic()
    command = [sys.executable, "-m", "trainer_core.jobs.worker", str(workspace.root)]
    assert subprocess.run(command, cwd=REPOSITORY, env=spawn.job_environment({}), timeout=10).returncode == 0
    assert queue.entry(job_id).status == "running" and worker_of(workspace) == alive
    share = (sum(alive.cpu_times()[:2]) - before) / (time.monotonic() - since)
    record_figure("worker: share of a core while a job runs (%)", 100 * share)
    assert share < 0.03


def test_a_worker_ends_when_nothing_is_left_to_do(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_IDLE_S", 0.3)
    monkeypatch.setattr(worker, "_POLL_S", 0.02)
    monkeypatch.setattr(Queue, "ensure_worker", lambda self: None)
    queue = Queue(workspace)
    job_id = count(queue, 0)
    assert worker.main([str(workspace.root)]) == 0
    assert queue.entry(job_id).status == "finished"


def test_a_job_that_was_taken_but_never_started_waits_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker died between the two."""
    monkeypatch.setattr(worker, "_STARTING_S", 0.0)
    monkeypatch.setattr(worker, "_POLL_S", 0.02)
    monkeypatch.setattr(worker, "_IDLE_S", 0.1)
    monkeypatch.setattr(Queue, "ensure_worker", lambda self: None)
    queue = Queue(workspace)
    job_id = count(queue, 0)
    (workspace.jobs / ".started").mkdir()
    (workspace.jobs / ".waiting" / job_id).rename(workspace.jobs / ".started" / job_id)
    assert queue.entry(job_id).status == "running"
    assert worker.main([str(workspace.root)]) == 0
    assert queue.entry(job_id).status == "finished"


def log(workspace: Workspace, job_id: str) -> str:
    file = JobDir(workspace.jobs / job_id).log_file
    return file.read_text(encoding="utf-8") if file.exists() else ""
