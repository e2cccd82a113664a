"""How much memory each phase of a run took at its peak, told when the phase ends."""

import psutil
import torch

from trainer_core.training.reporting import EventSink

# A phase that comes again, such as the steps between two samples, is told of again where it took so much more.
_MORE = 1.01


class PhaseMemory:
    """Follows one run through its phases; one after the other, "" is none.

    Tells `memory` events: phase, peak_gib (torch's peak allocation; None without a GPU) and process_gib (resident main
    memory at the phase's end).
    """

    def __init__(self, events: EventSink, device: torch.device) -> None:
        self._events = events
        self._cuda = device.type == "cuda"
        self._phase = ""
        self._told: dict[str, float] = {}

    def enter(self, phase: str) -> None:
        """The phase before has ended."""
        if phase == self._phase:
            return
        if self._phase:
            self._tell(self._phase)
        self._phase = phase
        if self._cuda:
            torch.cuda.reset_peak_memory_stats()

    def _tell(self, phase: str) -> None:
        process = psutil.Process().memory_info().rss / 2**30
        peak = torch.cuda.max_memory_allocated() / 2**30 if self._cuda else None
        size = process if peak is None else peak
        if size > _MORE * self._told.get(phase, 0.0):
            self._told[phase] = size
            self._events.emit("memory", phase=phase, peak_gib=peak, process_gib=process)
