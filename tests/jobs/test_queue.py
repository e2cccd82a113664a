"""The queue on disk: order, pause, restart, cancel, what is shown, what it costs. No job is started here."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import psutil
import pytest

from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.contracts.jobdir import Job, JobDir
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.entries import ENDED
from trainer_core.jobs.queue import Entry, JobStatus, Queue

pytestmark = pytest.mark.usefixtures("no_worker")


def add(queue: Queue, title: str, **more: bool) -> str:
    return queue.add("merge", title, {"base": "x"}, resources=["light"], **more)


def titles(queue: Queue) -> list[str]:
    return [entry.job.title for entry in queue.entries()]


def test_jobs_wait_in_the_order_of_their_coming_and_can_be_moved(queue: Queue) -> None:
    a, b, c = (add(queue, name) for name in "abc")
    add(queue, "first", front=True)
    assert titles(queue) == ["first", "a", "b", "c"]
    queue.move(c, -2)
    queue.move(b, 99)
    assert titles(queue) == ["first", "c", "a", "b"] and [e.position for e in queue.entries()] == [1, 2, 3, 4]


def test_two_programs_share_one_queue(queue: Queue, workspace: Workspace) -> None:
    other = Queue(workspace)
    ours, theirs = add(queue, "ours"), add(other, "theirs")
    other.move(theirs, -1)
    queue.cancel(ours)
    for view in (queue, other):
        assert [(e.job.title, e.status) for e in view.entries()] == [("theirs", "waiting"), ("ours", "cancelled")]


def test_a_job_keeps_what_it_was_queued_with(queue: Queue, workspace: Workspace) -> None:
    job_id = queue.add("index", "数据 <b>", {"n": 1}, resources=["files:a"], files={"config.toml": "絵 = 1\n"})
    job = queue.entry(job_id).job
    assert (job.kind, job.title, job.spec, job.resources) == ("index", "数据 <b>", {"n": 1}, ("files:a",))
    assert (workspace.jobs / job_id / "config.toml").read_text(encoding="utf-8") == "絵 = 1\n"
    for bad in ("../x", "a/b", "", ".."):
        with pytest.raises(ValueError, match="plain file names"):
            queue.add("index", "t", {}, resources=[], files={bad: ""})


def test_who_looks_while_a_training_is_added_knows_its_run_at_once(
    queue: Queue, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = to_toml(TrainConfig(base_model_path="b", train_data_dir="d", output_dir=str(workspace.output)))
    names: list[list[str]] = []

    def written(path: Path, values: object) -> None:
        names.append([file.name for file in path.parent.iterdir()])
        write_json_atomic(path, values)

    monkeypatch.setattr("trainer_core.contracts.jobdir.write_json_atomic", written)
    job_id = queue.add("train", "anna", {}, resources=["cpu"], files={"config.toml": config})
    assert all("config.toml" in before for before in names) and queue.entry(job_id).run is not None


def test_a_run_that_could_not_be_read_is_looked_for_again(queue: Queue, workspace: Workspace) -> None:
    job_id = queue.add("train", "anna", {}, resources=["cpu"])
    assert queue.entry(job_id).run is None
    config = TrainConfig(base_model_path="b", train_data_dir="d", output_dir=str(workspace.output))
    JobDir(workspace.jobs / job_id).config_file.write_text(to_toml(config), encoding="utf-8")
    run = queue.entry(job_id).run
    assert run is not None and run.path == RunDir.of(config).path


def test_what_cannot_be_done_is_said(queue: Queue) -> None:
    job_id = add(queue, "a")
    with pytest.raises(UserError, match="a has not ended: it is waiting"):
        queue.forget(job_id)
    with pytest.raises(UserError, match="a is not running: it is waiting"):
        queue.request(job_id, "save")
    queue.stop(job_id)
    assert queue.entry(job_id).status == "cancelled" and queue.entry(job_id).ended
    with pytest.raises(UserError, match="a is not waiting any more: it is cancelled"):
        queue.cancel(job_id)
    for strange in ("../jobs", "20260101-000000-abcdef"):
        with pytest.raises(UserError, match="There is no job"):
            queue.move(strange, 1)


def test_after_a_restart_of_the_machine_long_jobs_wait_for_a_word(
    queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(psutil, "boot_time", lambda: time.time() - 1e6)
        queue.add("tokens", "own work", {}, resources=["tokens"])
        assert queue.paused() == ""
        add(queue, "long")
        assert queue.paused() == ""
    assert queue.paused() == "restart"
    queue.set_paused(False)
    assert queue.paused() == ""
    queue.set_paused(True)
    assert queue.paused() == "asked"


def test_a_forgotten_job_goes_to_the_trash_and_cleaning_keeps_the_newest(queue: Queue, workspace: Workspace) -> None:
    ids = [add(queue, str(number)) for number in range(4)]
    for job_id in ids:
        queue.cancel(job_id)
    queue.forget(ids[0])
    [kept] = workspace.trash.iterdir()
    assert JobDir(kept).read_job().id == ids[0]
    own = queue.add("tokens", "own", {}, resources=[])
    queue.cancel(own)
    queue.clean(keep=1)
    assert titles(queue) == ["own", "3"]


@pytest.mark.parametrize("status", get_args(JobStatus))
def test_a_job_waits_is_at_work_or_has_ended(status: JobStatus) -> None:
    entry = Entry(job=Job(id="j", kind="train", title="t"), status=status)
    assert [status == "waiting", entry.at_work, status in ENDED].count(True) == 1
    assert entry.active == (status not in ENDED)


def test_a_damaged_job_hides_no_other(queue: Queue, workspace: Workspace) -> None:
    bad, _ = add(queue, "bad"), add(queue, "good")
    JobDir(workspace.jobs / bad).job_file.write_text("{", encoding="utf-8")
    (workspace.jobs / ".waiting" / bad).write_text("{", encoding="utf-8")
    assert titles(Queue(workspace)) == ["good"]


def test_looking_at_200_jobs_takes_less_than_5_ms(
    queue: Queue,
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
    record_figure: Callable[[str, float], None],
) -> None:
    monkeypatch.setattr("os.fsync", lambda descriptor: None)
    for number in range(150):
        folder = JobDir(workspace.jobs / f"20260101-000000-{number:06x}")
        folder.create_job(Job(id=folder.path.name, kind="merge", title=str(number)))
        folder.write_state("finished")
    for number in range(50):
        add(queue, str(number))
    assert len(queue.entries()) == 200
    # The time of this thread alone: how busy the machine is does not matter.
    times = []
    for _ in range(20):
        started = time.thread_time()
        queue.entries()
        times.append(time.thread_time() - started)
    record_figure("queue: look at 200 jobs (ms)", 1e3 * min(times))
    assert min(times) < 0.005


ADD_FIVE = """
import sys
from pathlib import Path
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.entries import ENDED
from trainer_core.jobs.queue import Entry, JobStatus, Queue
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.rundir import RunDir
queue = Queue(Workspace(Path(sys.argv[1])))
for number in range(5):
    queue.add("merge", sys.argv[2], {}, resources=["light"])
"""


def test_two_programs_that_add_at_the_same_time_lose_nothing(queue: Queue, workspace: Workspace) -> None:
    queue.set_paused(True)
    commands = [[sys.executable, "-c", ADD_FIVE, str(workspace.root), name] for name in "ab"]
    for process in [subprocess.Popen(command, cwd=REPOSITORY) for command in commands]:
        assert process.wait(60) == 0
    assert sorted(titles(queue)) == ["a"] * 5 + ["b"] * 5
    last = queue.entries()[-1].job.id
    queue.move(last, -9)
    assert queue.entries()[0].job.id == last and [e.position for e in queue.entries()] == list(range(1, 11))
