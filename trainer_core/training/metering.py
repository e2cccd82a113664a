"""Seconds and bytes of what runs on a device."""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

import psutil
import torch

# Often enough that no phase of a step goes unseen, and far too seldom to slow it down.
_LOOK_S = 0.01


class PeakMemory:
    """Memory at its highest while it is entered, in bytes.

    Attributes:
        process: main memory that the process holds.
        start: the same on entering.
    """

    def __init__(self, device: torch.device) -> None:
        self._cuda = device.type == "cuda"
        self._process = psutil.Process()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.start = self.process = 0

    def __enter__(self) -> Self:
        self.start = self.process = self._process.memory_info().rss
        if self._cuda:
            torch.cuda.init()
            torch.cuda.reset_peak_memory_stats()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    @property
    def peak(self) -> int:
        """torch's peak allocation on a GPU; on a CPU, how far the process has grown."""
        return torch.cuda.max_memory_allocated() if self._cuda else self.process - self.start

    def _watch(self) -> None:
        while not self._done.wait(_LOOK_S):
            self._look()

    def _look(self) -> None:
        self.process = max(self.process, self._process.memory_info().rss)


def seconds_of(action: Callable[[], object], device: torch.device) -> float:
    """How long it takes until the device has done it."""
    synchronize(device)
    start = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()
