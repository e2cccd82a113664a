"""Advice while a run is at work: what is off when it is slow, what to check when the loss does not fall."""

import re
from collections.abc import Callable, Sequence

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.advice import speed_hints
from trainer_core.planning.flat_loss import flat_loss_hints, is_flat
from trainer_core.planning.hardware import Machine
from trainer_core.training.features import Sample
from trainer_core.training.reporting import Teller

# Enough steps for the first ones (kernels chosen, disk caches cold) not to count.
SETTLED = 30
_FIGURES = re.compile(r"[0-9.]+")


class Advisor:
    """Watches the steps of the main process; tells each piece of advice once in the life of a process.

    `losses` are those of the steps that earlier lives of the run did: a loss that fell in them has not stayed flat.
    """

    def __init__(
        self,
        config: TrainConfig,
        samples: Sequence[Sample],
        teller: Teller,
        *,
        device: str,
        machine: Callable[[], Machine],
        losses: Sequence[float] = (),
    ) -> None:
        self._config = config
        self._samples = samples
        self._teller = teller
        self._device = device
        self._machine = machine
        self._losses = list(losses)
        self._seconds: list[float] = []
        self._looked = 0
        self._told: set[str] = set()

    def watch(self, step: int, loss: float, seconds: float, *, epoch_ends: bool) -> None:
        """After optimizer step `step` (1-based); `seconds` without what came between two steps."""
        self._losses.append(loss)
        self._seconds.append(seconds)
        # Epochs of a small data set are a step or two long, and a look takes time.
        if len(self._seconds) == SETTLED or (epoch_ends and len(self._seconds) >= self._looked + SETTLED):
            self._looked = len(self._seconds)
            self._look_at_speed(step)
        if epoch_ends and "loss" not in self._told and is_flat(self._losses):
            captionless = sum(not sample.item.caption for sample in self._samples)
            hints = flat_loss_hints(self._config, images=len(self._samples), captionless=captionless, steps=step)
            self._tell("loss", step, "The loss does not fall. What to check:", hints)

    def _look_at_speed(self, step: int) -> None:
        machine = self._machine()
        if self._device == "cpu" and not machine.gpus:
            # Nothing is off: there is nothing else to train on.
            return
        hints = speed_hints(self._config, machine, device=self._device, step_seconds=self._seconds)
        # Other figures (free memory, utilisation) do not make it another piece of advice.
        fresh = [hint for hint in hints if _FIGURES.sub("", hint) not in self._told]
        if fresh:
            self._told.update(_FIGURES.sub("", hint) for hint in fresh)
            self._tell("speed", step, "It could be faster:", fresh)

    def _tell(self, topic: str, step: int, message: str, hints: Sequence[str]) -> None:
        self._told.add(topic)
        self._teller.emit("advice", topic=topic, step=step, message=message, hints=tuple(hints))
