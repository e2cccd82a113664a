"""17: the page, the worker and the trainer may be ended in any order, and the machine restarted: nothing is lost."""

import itertools
import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from gui_app import Application
from queues import until, until_status, worker_of
from runs import assert_same_run, config_file, events, run_of
from tiny_runs import settings
from warm import finish, launch

from newbie_gui.runs.store import RunStore
from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.jobs.queue import Queue

Make = Callable[..., TrainConfig]
ORDERS = list(itertools.permutations(("page", "worker", "trainer")))


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    # As the run that is left alone: another number of threads sums in another order.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = Application(tmp_path / "app")
    made.workspace.create()
    made.start()
    yield made
    made.close()


@pytest.fixture(scope="module")
def figure() -> Callable[[str], str]:
    seen: set[str] = set()

    def record(case: str) -> str:
        seen.add(case)
        return f"{len(seen)} / {len(ORDERS) + 1}"

    return record


def queued(queue: Queue, config: TrainConfig) -> str:
    files = {"config.toml": to_toml(config)}
    return queue.add("train", config.output_name, {"run": str(run_of(config).path)}, resources=["cpu"], files=files)


def at_work(app: Application, config: TrainConfig) -> dict[str, psutil.Process]:
    """The three of them, once the run has come to its second step."""
    until(lambda: len(events(config, "step")) >= 2, 120.0)
    worker = worker_of(app.workspace)
    assert worker is not None
    return {"page": app.process, "worker": worker, "trainer": psutil.Process(run_of(config).read_state()["pid"])}


def assert_goes_on(app: Application, config: TrainConfig, left_alone: TrainConfig, waiting: str) -> None:
    """The page finds all of it again: the run can be resumed and ends bit-equal, and what waited is done."""
    queue = Queue(app.workspace)
    until_status(queue, queued(queue, config), "finished", seconds=120.0)
    assert_same_run(config, left_alone)
    until_status(queue, waiting, "finished", seconds=120.0)
    assert {row.state for row in RunStore(app.workspace, queue).rows()} == {"finished"}


@pytest.fixture(scope="module")
def left_alone(data: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    made = settings(data, tmp_path_factory.mktemp("alone"), "left-alone", cache_dir=str(cache), num_epochs=4)
    assert finish(launch(["train", str(config_file(made))], Path(made.output_dir) / "log")) == 0
    return made


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_17_ended_politely_in_any_order(
    config: Make, app: Application, left_alone: TrainConfig, order: tuple[str, ...], record_figure: Callable,
    figure: Callable,
) -> None:  # fmt: skip
    queue = Queue(app.workspace)
    made = config(output_dir=str(app.workspace.output), num_epochs=4)
    first = queued(queue, made)
    waiting = queued(queue, config("waiting", output_dir=str(app.workspace.output), num_epochs=1))
    found = at_work(app, made)
    for name in order:
        process = found[name]
        process.send_signal(signal.SIGTERM)
        if name == "page":
            app.stop()
        elif name == "worker":
            until(lambda process=process: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, 20.0)
        else:
            until(lambda: run_of(made).status() == "stopped", 60.0)
    until_status(queue, first, "stopped", "failed", seconds=20.0)
    assert run_of(made).status() == "stopped"
    app.start()
    assert_goes_on(app, made, left_alone, waiting)
    record_figure("faults: signals", figure("-".join(order)))


@pytest.mark.slow
def test_17_after_a_restart_of_the_machine_the_queue_waits_and_the_run_can_go_on(
    config: Make, app: Application, left_alone: TrainConfig, record_figure: Callable, figure: Callable
) -> None:
    queue = Queue(app.workspace)
    made = config(output_dir=str(app.workspace.output), num_epochs=4)
    queued(queue, made)
    waiting = queued(queue, config("waiting", output_dir=str(app.workspace.output), num_epochs=1))
    found = at_work(app, made)
    processes = [*found.values(), *(child for p in found.values() for child in p.children(recursive=True))]
    for process in processes:
        process.kill()
    app.stop()
    mark = app.workspace.jobs / ".waiting" / waiting
    values = json.loads(mark.read_bytes())
    # What a restart changes: the machine was started later than the job was queued.
    mark.write_text(json.dumps({**values, "boot": values["boot"] - 1e6}), encoding="utf-8")
    app.start()
    again = Queue(app.workspace)
    [running] = [row for row in RunStore(app.workspace, again).rows() if row.name == made.output_name]
    assert running.state == "interrupted" and again.paused() == "restart"
    assert again.entry(waiting).status == "waiting"
    again.set_paused(False)
    until_status(again, waiting, "finished", seconds=120.0)
    assert_goes_on(app, made, left_alone, waiting)
    record_figure("faults: signals", figure("restart"))
