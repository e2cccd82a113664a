"""How much memory of its own a call needs, measured from inside of a process that is forked for it."""

import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.faults.warm import context


def growth(work: Callable[..., object], *given: object) -> int:
    """Bytes of anonymous memory at most during ``work(*given)``, above those before; a function of a module."""
    with ProcessPoolExecutor(1, mp_context=context()) as processes:
        return processes.submit(_watched, work, *given).result()


def _watched(work: Callable[..., object], *given: object) -> int:
    start, peak, done = _anonymous(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.002):
            peak = max(peak, _anonymous())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work(*given)
    finally:
        done.set()
        watcher.join()
    return peak - start


def _anonymous() -> int:
    # Pages of mapped files are not counted: the system takes them back as it likes.
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))
