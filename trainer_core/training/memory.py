"""Memory of this process and what torch has allocated on its GPU: read, followed through a run, and given back."""

import gc
import threading
import time
from types import TracebackType
from typing import Self

import psutil
import torch

from trainer_core.planning.phases import GIB
from trainer_core.training.reporting import EventSink

# Often enough that no phase of a step goes unseen, and far too seldom to slow it down.
_LOOK_S = 0.01
# A phase that comes again, such as the steps between two samples, is told of again where it took so much more.
_MORE = 1.01
_TELL_S = 0.5


def peak_bytes(device: torch.device) -> int | None:
    """torch's peak allocation on a GPU since the last `reset_peak`; None without one."""
    return torch.cuda.max_memory_allocated() if device.type == "cuda" else None


def reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.init()
        torch.cuda.reset_peak_memory_stats()


def resident_bytes() -> int:
    """Main memory that this process holds."""
    return int(psutil.Process().memory_info().rss)


def release_memory() -> None:
    """Give back what is no longer referred to, to the system and the GPU."""
    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


class PeakMemory:
    """Memory at its highest while it is entered, in bytes.

    Attributes:
        process: main memory that the process holds.
        start: the same on entering.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.start = self.process = 0

    def __enter__(self) -> Self:
        self.start = self.process = resident_bytes()
        reset_peak(self._device)
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
        allocated = peak_bytes(self._device)
        return self.process - self.start if allocated is None else allocated

    def _watch(self) -> None:
        while not self._done.wait(_LOOK_S):
            self._look()

    def _look(self) -> None:
        self.process = max(self.process, resident_bytes())


class Phases:
    """Follows one run through its phases; one after the other, "" is none.

    Tells `phase` events: phase, done, total; and `memory` events: phase, peak_gib (torch's peak allocation; None
    without a GPU) and process_gib (resident main memory at the phase's end).
    """

    def __init__(self, events: EventSink, device: torch.device) -> None:
        self._events = events
        self._device = device
        self._phase = ""
        self._told: dict[str, float] = {}
        self._last = ""
        self._last_told = 0.0

    def at(self, phase: str, done: int, total: int) -> None:
        """It has done so much of the phase. That is told at the beginning, and from then on twice a second at most."""
        self.enter(phase)
        now = time.monotonic()
        if done == 0 or phase != self._last or now - self._last_told > _TELL_S:
            self._last, self._last_told = phase, now
            self._events.emit("phase", phase=phase, done=done, total=total)

    def enter(self, phase: str) -> None:
        """The phase before has ended."""
        if phase == self._phase:
            return
        if self._phase:
            self._tell(self._phase)
        self._phase = phase
        reset_peak(self._device)

    def _tell(self, phase: str) -> None:
        process, allocated = resident_bytes() / GIB, peak_bytes(self._device)
        peak = None if allocated is None else allocated / GIB
        size = process if peak is None else peak
        if size > _MORE * self._told.get(phase, 0.0):
            self._told[phase] = size
            self._events.emit("memory", phase=phase, peak_gib=peak, process_gib=process)
