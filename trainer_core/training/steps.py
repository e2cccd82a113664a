"""Which images each step of a run sees, and how far along training a step is."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from trainer_core.contracts.config import TrainConfig
from trainer_core.dataset.order import epoch_order
from trainer_core.training.features import Sample
from trainer_core.training.optim import rate_of_step


@dataclass(frozen=True, kw_only=True)
class EpochOrigin:
    """Where a run went on with epochs of another length: after ``step`` steps, ``place`` steps of the new length in."""

    step: int = 0
    place: int = 0


class Schedule:
    """A pure function of (config, samples, world size, origin); two epochs are remembered.

    Other images, batches or processes change how many steps an epoch has. A run that goes on keeps its epoch and its
    share of it, so from its ``origin`` on the place of a step in training is no longer the step's number.
    """

    def __init__(
        self, config: TrainConfig, samples: Sequence[Sample], world_size: int = 1, origin: EpochOrigin | None = None
    ) -> None:
        self._config = config
        self._samples = samples
        self._world_size = world_size
        self._epochs: OrderedDict[int, list[list[tuple[int, ...]]]] = OrderedDict()
        self._origin = origin or EpochOrigin()
        self.steps_per_epoch = len(self._groups(0))
        self.total_steps = config.max_train_steps or self._places + self._origin.step - self._origin.place

    @property
    def _places(self) -> int:
        """Steps of all epochs, had they always been as long as now."""
        return self._config.num_epochs * self.steps_per_epoch

    def going_on(self, state: Mapping[str, Any]) -> "Schedule":
        """This one after a checkpoint's ``state``: in the same epoch, and as far into it."""
        before, now = state.get("steps_per_epoch", self.steps_per_epoch), self.steps_per_epoch
        origin = EpochOrigin(**state.get("origin", {}))
        if before != now:
            origin = EpochOrigin(step=state["step"], place=state["epoch"] * now + state["position"] * now // before)
        return Schedule(self._config, self._samples, self._world_size, origin)

    def state(self, done: int) -> dict[str, Any]:
        """What `going_on` needs to know after ``done`` steps."""
        epoch, position = divmod(self._place(done), self.steps_per_epoch)
        length = self.steps_per_epoch
        return {"epoch": epoch, "position": position, "steps_per_epoch": length, "origin": asdict(self._origin)}

    def epoch_of(self, step: int) -> int:
        return self._place(step) // self.steps_per_epoch

    def ended_epochs(self, done: int) -> int:
        """How many epochs are over where one ends after ``done`` steps; 0 within an epoch."""
        epochs, position = divmod(self._place(done), self.steps_per_epoch)
        return 0 if position else epochs

    def group(self, step: int) -> list[list[Sample]]:
        """The batches of one optimizer step in all processes; the last group of an epoch may be smaller."""
        epoch, position = divmod(self._place(step), self.steps_per_epoch)
        return [[self._samples[i] for i in batch] for batch in self._groups(epoch)[position]]

    def rate(self) -> Callable[[int], float]:
        """Learning rate of a step. It rises with the steps and falls with the epochs, and so goes on as it was."""
        config = self._config
        of_step = rate_of_step(config, self.total_steps)
        if config.max_train_steps:
            return of_step
        warmup = self._place(config.lr_warmup_steps)
        of_place = rate_of_step(replace(config, lr_warmup_steps=warmup), self._places)
        return lambda step: of_step(step) if step < config.lr_warmup_steps else of_place(self._place(step))

    def _place(self, step: int) -> int:
        origin = self._origin
        if step < origin.step:
            return step * origin.place // origin.step
        return step - origin.step + origin.place

    def _groups(self, epoch: int) -> list[list[tuple[int, ...]]]:
        if epoch not in self._epochs:
            batches = epoch_order(
                [sample.bucket for sample in self._samples],
                [sample.item.repeats for sample in self._samples],
                batch_size=self._config.train_batch_size,
                seed=self._config.seed,
                epoch=epoch,
            )
            size = self._config.gradient_accumulation_steps * self._world_size
            self._epochs[epoch] = [list(batches[i : i + size]) for i in range(0, len(batches), size)]
            # The batches made ahead reach into the next epoch.
            if len(self._epochs) > 2:
                self._epochs.popitem(last=False)
        return self._epochs[epoch]
