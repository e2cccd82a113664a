"""Back-to-back runs with the page open: hours of it leave no more memory, handles or dead processes than minutes."""

import os
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from gui_app import Application
from queues import worker_of
from runs import run_of

from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.jobs.queue import Queue

Make = Callable[..., TrainConfig]
MINUTES = float(os.environ.get("NEWBIE_SOAK_MINUTES", "120"))
_WAITING = 3
_KEPT_RUNS = 20


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Application]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    made = Application(tmp_path / "app")
    made.start()
    yield made
    made.close()


@pytest.fixture
def opened(app: Application, tmp_path: Path) -> Iterator[None]:
    """The page, open in a browser, which goes on asking for news."""
    path = os.environ.get("NEWBIE_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium found")
    # Without a port it would end once the page is drawn. Playwright runs once a process: the page's tests have it.
    arguments = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
    command = [path, *arguments, f"--user-data-dir={tmp_path / 'browser'}", app.address]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as browser:
        yield
        assert browser.poll() is None
        browser.terminate()


class Watched:
    """Memory (MiB) and handles of one process over time; the beginning is left out, while caches fill."""

    def __init__(self) -> None:
        self.pids: set[int] = set()
        self._samples: list[tuple[float, int]] = []

    def look(self, process: psutil.Process) -> None:
        self.pids.add(process.pid)
        self._samples.append((process.memory_full_info().uss / 2**20, process.num_fds()))

    def growth(self) -> tuple[float, int]:
        """In percent, and in handles: the last quarter against the one that begins after an eighth."""
        count = len(self._samples)
        first, last = self._samples[count // 8 : count * 3 // 8], self._samples[-(count // 4) :]
        before, after = (statistics.median(memory for memory, _ in part) for part in (first, last))
        handles = [int(statistics.median(fds for _, fds in part)) for part in (first, last)]
        return 100 * (after / before - 1), handles[1] - handles[0]

    def course(self) -> list[int]:
        """Memory of each twelfth of the time: whether it still grows, or has settled."""
        size = max(1, len(self._samples) // 12)
        parts = [self._samples[start : start + size] for start in range(0, len(self._samples), size)]
        return [round(statistics.median(memory for memory, _ in part)) for part in parts]


class Feeder:
    """Keeps runs waiting in the queue and removes those that are long done."""

    def __init__(self, queue: Queue, app: Application, make: Make) -> None:
        self._queue, self._app, self._make = queue, app, make
        self.number = 0

    def feed(self) -> None:
        self._queue.ensure_worker()
        while sum(entry.status == "waiting" for entry in self._queue.entries()) < _WAITING:
            made = self._config(self.number)
            spec, files = {"run": str(run_of(made).path)}, {"config.toml": to_toml(made)}
            self._queue.add("train", made.output_name, spec, resources=["cpu"], files=files)
            shutil.rmtree(run_of(self._config(self.number - _KEPT_RUNS)).path, ignore_errors=True)
            self.number += 1

    def _config(self, number: int) -> TrainConfig:
        return self._make(f"soak-{number}", output_dir=str(self._app.workspace.output), num_epochs=1)


@pytest.mark.slow
@pytest.mark.usefixtures("opened")
def test_a_long_row_of_runs_leaves_nothing_behind(
    config: Make, app: Application, record_figure: Callable[[str, float | str], None]
) -> None:
    """``NEWBIE_SOAK_MINUTES`` says how long; with 120 the first fifteen are left out."""
    queue = Queue(app.workspace)
    feeder = Feeder(queue, app, config)
    page, worker, zombies = Watched(), Watched(), 0
    until = time.monotonic() + 60 * MINUTES
    while time.monotonic() < until:
        feeder.feed()
        time.sleep(2.0)
        running = worker_of(app.workspace)
        page.look(app.process)
        if running is not None:
            worker.look(running)
            children = [*app.process.children(recursive=True), *running.children(recursive=True)]
            # One that has just ended is seen to within a moment.
            zombies += sum(_still_zombie(child) for child in children)
    statuses = [entry.status for entry in queue.entries()]
    print(f"{feeder.number} runs in {MINUTES:g} min, growth page {page.growth()}, worker {worker.growth()}")
    print(f"MiB over time, page {page.course()}, worker {worker.course()}")
    assert "failed" not in statuses and "finished" in statuses and len(worker.pids) == len(page.pids) == 1
    record_figure("faults: soak growth, %", f"{max(page.growth()[0], worker.growth()[0]):.1f} %")
    record_figure("faults: soak, zombies / runs", f"{zombies} / {feeder.number}")
    for watched in (page, worker):
        memory, handles = watched.growth()
        assert memory <= 5.0 and handles <= 3
    assert zombies == 0


def _still_zombie(process: psutil.Process) -> bool:
    for _ in range(20):
        try:
            if process.status() != psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.1)
    return True
