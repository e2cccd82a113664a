"""Advice while a run is at work: what is off when it is slow, what to check when the loss does not fall."""

import re
from collections import deque
from collections.abc import Callable, Sequence
from statistics import fmean

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.advice import speed_hints
from trainer_core.planning.flat_loss import flat_loss_hints, is_flat
from trainer_core.planning.hardware import Machine
from trainer_core.training.features import Sample
from trainer_core.training.reporting import EventSink

# Enough steps for the first ones (kernels chosen, disk caches cold) not to count.
SETTLED = 30
# Looked at again after so many steps of a long epoch.
LOOK_AGAIN = 300
# The speed of so many steps is remembered, the first ones as what is usual, the last ones as what is now.
_USUAL, _NOW = 300, 15
# A loss that has not fallen in so many steps is flat; one that has, is not, whatever comes.
_JUDGED = 10_000
_FIGURES = re.compile(r"[0-9.]+")


class Advisor:
    """Watches the steps of the main process; tells each piece of advice once in the life of a process.

    `losses` are those of the steps that earlier lives of the run did: a loss that fell in them has not stayed flat.
    """

    def __init__(
        self,
        config: TrainConfig,
        samples: Sequence[Sample],
        events: EventSink,
        *,
        device: str,
        machine: Callable[[], Machine],
        total_steps: int,
        losses: Sequence[float] = (),
    ) -> None:
        self._config = config
        self._samples = samples
        self._events = events
        self._device = device
        self._machine = machine
        self._total_steps = total_steps
        self._losses = [*losses[:_JUDGED]]
        self._usual: list[float] = []
        self._now: deque[float] = deque(maxlen=_NOW)
        self._steps = self._looked = 0
        self._next_verdict = 0
        self._told: set[str] = set()

    def watch(self, step: int, loss: float, seconds: float, *, epoch_ends: bool) -> None:
        """After optimizer step `step` (1-based); `seconds` without what came between two steps."""
        self._steps += 1
        if len(self._usual) < _USUAL:
            self._usual.append(seconds)
        else:
            self._now.append(seconds)
        # Epochs of a small data set are a step or two long, and a look takes time.
        since = self._steps - self._looked
        if self._steps == SETTLED or (epoch_ends and since >= SETTLED) or since >= LOOK_AGAIN:
            self._looked = self._steps
            self._look_at_speed(step)
        if len(self._losses) < _JUDGED:
            self._losses.append(loss)
            if epoch_ends and len(self._losses) >= self._next_verdict:
                self._look_at_losses(step)

    def _look_at_losses(self, step: int) -> None:
        # Ever rarer: a look goes over all of them, and each is another chance to be wrong.
        self._next_verdict = len(self._losses) * 6 // 5
        if "loss" in self._told or not is_flat(self._losses, len(self._losses) / self._total_steps):
            return
        captionless = sum(not sample.item.caption for sample in self._samples)
        repeats = fmean(sample.item.repeats for sample in self._samples)
        hints = flat_loss_hints(
            self._config, images=len(self._samples), repeats=repeats, captionless=captionless, steps=step
        )
        self._tell("loss", step, "The loss does not fall. What to check:", hints)

    def _look_at_speed(self, step: int) -> None:
        machine = self._machine()
        if self._device == "cpu" and not machine.gpus:
            # Nothing is off: there is nothing else to train on.
            return
        hints = speed_hints(self._config, machine, device=self._device, step_seconds=[*self._usual, *self._now])
        # Other figures (free memory, utilisation) do not make it another piece of advice.
        fresh = [hint for hint in hints if _FIGURES.sub("", hint) not in self._told]
        if fresh:
            self._told.update(_FIGURES.sub("", hint) for hint in fresh)
            self._tell("speed", step, "It could be faster:", fresh)

    def _tell(self, topic: str, step: int, message: str, hints: Sequence[str]) -> None:
        self._told.add(topic)
        self._events.emit("advice", topic=topic, step=step, message=message, hints=tuple(hints))
