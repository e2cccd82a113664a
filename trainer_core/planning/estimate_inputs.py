"""All that an estimate of a training on some machine needs."""

from collections.abc import Callable
from dataclasses import dataclass

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import DataFacts
from trainer_core.planning.base import BaseSizes
from trainer_core.planning.estimate import Estimate, estimate, work_of
from trainer_core.planning.gpu_choice import device_name, uses_old_card
from trainer_core.planning.hardware import Machine
from trainer_core.planning.measured import MeasuredStep, fit_key
from trainer_core.planning.phases import Workload
from trainer_core.planning.speed import Speed, known_speed


@dataclass(frozen=True, kw_only=True)
class EstimateInputs:
    """The settings as written, and what they meet.

    data: None where it is unknown. cuda: whether the training would use a GPU. cards: GPUs that would share a step.
    """

    config: TrainConfig
    data: DataFacts | None
    base: BaseSizes
    machine: Machine
    cuda: bool
    cards: int

    @property
    def work(self) -> Workload:
        return work_of(self.config, self.data)

    @property
    def device(self) -> str:
        """The name of what the training computes on, "" for a GPU that is not there."""
        return device_name(self.config, self.machine, cuda=self.cuda)

    @property
    def key(self) -> str:
        """By which a check of these very settings keeps what it measured."""
        return fit_key(self.config, self.work, self.base.transformer, self.device)

    def estimate(
        self, measured: MeasuredStep | None, *, pace: Callable[[TrainConfig], Speed | None] = known_speed
    ) -> Estimate:
        """As `estimate` does it."""
        return estimate(
            self.config, self.data, base=self.base, cuda=self.cuda, old_card=uses_old_card(self.config, self.machine),
            world_size=self.cards, pace=pace, measured=measured,
        )  # fmt: skip
