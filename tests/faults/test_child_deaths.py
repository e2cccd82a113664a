"""20: however a trainer ends, the page has the right state within five seconds and says what to do."""

import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from queues import processes_of, until, until_status
from runs import config_file, events, run_of
from warm import finish, launch
from warm import until as child_until

from newbie_gui.runs.failure import Failure, failure_of, remedies
from newbie_gui.runs.progress import progress_of
from newbie_gui.runs.store import Row, RunStore
from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs import spawn
from trainer_core.jobs.queue import Queue
from trainer_core.planning.hardware import detect

Make = Callable[..., TrainConfig]
DEATHS = ("signal", "GPU memory", "main memory", "hang", "package missing", "config unreadable")


@pytest.fixture(scope="module")
def figure() -> Callable[[str], str]:
    seen: set[str] = set()

    def record(death: str) -> str:
        assert death in DEATHS
        seen.add(death)
        return f"{len(seen)} / {len(DEATHS)}"

    return record


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    made = Workspace(tmp_path / "workspace")
    made.create()
    yield made
    for process in processes_of(made):
        spawn.kill(process.pid)


@pytest.fixture
def queue(workspace: Workspace) -> Queue:
    return Queue(workspace)


@pytest.fixture
def store(workspace: Workspace, queue: Queue) -> RunStore:
    return RunStore(workspace, queue)


@pytest.fixture
def here(config: Make, workspace: Workspace) -> Make:
    """Runs in the workspace, as the page makes them."""
    return lambda name="run", **changed: config(name, output_dir=str(workspace.output), **changed)


def shown(store: RunStore, state: str) -> tuple[Row, Failure | None]:
    """What the page shows of the only run, which must come within five seconds."""
    until(lambda: [row.state for row in store.rows()] == [state], 5.0)
    [row] = store.rows()
    return row, failure_of(row, store.history(row.folder).refresh(), store.entry(row))


def test_20_ended_by_a_signal(
    here: Make, store: RunStore, tmp_path: Path, record_figure: Callable, figure: Callable
) -> None:
    made = here()
    child = launch(["train", str(config_file(made))], tmp_path / "log")
    assert child_until(lambda: events(made, "step"), child)
    assert shown(store, "running")[1] is None
    assert child.pid is not None
    os.kill(child.pid, signal.SIGKILL)
    _, failure = shown(store, "interrupted")
    assert failure is not None and failure.code == "interrupted" and finish(child) == -signal.SIGKILL
    record_figure("faults: child deaths", figure("signal"))


def no_gpu_memory() -> None:
    import torch

    from trainer_core.training import loop

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB")

    loop.interpolate = full


def test_20_out_of_gpu_memory_offers_the_ladder(
    here: Make, store: RunStore, tmp_path: Path, record_figure: Callable, figure: Callable
) -> None:
    made = here(train_batch_size=2)
    child = launch(["train", str(config_file(made))], tmp_path / "log", prepare=no_gpu_memory)
    assert finish(child) == 1
    row, failure = shown(store, "failed")
    assert failure is not None and failure.code == "out_of_memory" and "2.00 GiB" in failure.message
    assert remedies(row, made)[0].values["micro_batch_size"] == 1
    record_figure("faults: child deaths", figure("GPU memory"))


def little_memory(mib: int) -> None:
    """``mib`` more than the process has now."""
    limit = psutil.Process().memory_info().vms + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def test_20_out_of_main_memory_is_said_and_less_is_proposed(
    here: Make, store: RunStore, tmp_path: Path, record_figure: Callable, figure: Callable
) -> None:
    made = here(cache_dir=str(tmp_path / "cache"))
    file = config_file(made)
    assert finish(launch(["train", str(file)], tmp_path / "log", prepare=little_memory, given={"mib": 40})) == 1
    _, failure = shown(store, "failed")
    assert failure is not None and failure.code == "memory_full", failure
    assert any("less main memory" in hint for hint in failure.hints)
    assert finish(launch(["train", str(file)], tmp_path / "log")) == 0
    assert shown(store, "finished")[1] is None
    record_figure("faults: child deaths", figure("main memory"))


def test_20_a_run_that_hangs_is_noticed_and_can_be_ended(
    here: Make, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_figure: Callable,
    figure: Callable,
) -> None:  # fmt: skip
    made = here()
    child = launch(["train", str(config_file(made))], tmp_path / "log")
    assert child_until(lambda: events(made, "step"), child)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    row, _ = shown(store, "running")
    until(row.run.halted, 5.0)
    machine = detect(tmp_path)
    told = store.history(row.folder).refresh()
    noticed = progress_of(row, told, made, machine)
    assert noticed.halted and noticed.silent_seconds is None
    later = time.time() + 400
    monkeypatch.setattr(time, "time", lambda: later)
    silent = progress_of(row, told, made, machine).silent_seconds
    assert silent is not None and 300 < silent < 500
    monkeypatch.undo()
    spawn.kill(child.pid)
    shown(store, "interrupted")
    assert finish(child) == -9
    record_figure("faults: child deaths", figure("hang"))


NO_TORCH = """
import sys
sys.modules["torch"] = None
"""


def test_20_a_training_that_cannot_start_says_why(
    here: Make, workspace: Workspace, queue: Queue, store: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    record_figure: Callable, figure: Callable,
) -> None:  # fmt: skip
    (tmp_path / "sitecustomize.py").write_text(NO_TORCH, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made, files = here(), {"config.toml": to_toml(here())}
    job_id = queue.add("train", "run", {"run": str(run_of(made).path)}, resources=["cpu"], files=files)
    until_status(queue, job_id, "failed")
    _, failure = shown(store, "failed")
    assert failure is not None and failure.code == "package_missing" and "torch" in failure.message
    assert "launch.sh" in failure.hints[0]
    record_figure("faults: child deaths", figure("package missing"))
    queue.forget(job_id)
    job_id = queue.add("train", "run", {}, resources=["cpu"], files={"config.toml": "lora_rnak = \x00"})
    until_status(queue, job_id, "failed")
    store.forget_list()
    _, failure = shown(store, "failed")
    assert failure is not None and failure.code == "config_invalid" and "config.toml" in failure.message
    record_figure("faults: child deaths", figure("config unreadable"))


@pytest.mark.slow
def test_20_17_killed_in_the_queue_and_continued_there(
    here: Make, workspace: Workspace, queue: Queue, store: RunStore
) -> None:
    made = here(num_epochs=3)
    spec, files = {"run": str(run_of(made).path)}, {"config.toml": to_toml(made)}
    queue.add("train", "run", spec, resources=["cpu"], files=files)
    until(lambda: len(events(made, "checkpoint")) >= 1)
    os.kill(run_of(made).read_state()["pid"], signal.SIGKILL)
    # That it is gone shows before the worker has told why.
    until(lambda: (found := shown(store, "interrupted")[1]) is not None and "signal 9" in found.message, 5.0)
    _, failure = shown(store, "interrupted")
    assert failure is not None
    assert "Resume the run: it goes on from its last checkpoint." in failure.hints
    queue.add("train", "run", spec, resources=["cpu"], files=files)
    until(lambda: store.rows()[0].state == "finished", 120.0)
    assert [event["step"] for event in events(made, "step")] == list(range(1, 13))
