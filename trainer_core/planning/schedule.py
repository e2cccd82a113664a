"""How many steps, saves and sample pictures a run has, exactly as training counts them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import Bucket


@dataclass(frozen=True, kw_only=True)
class Steps:
    """images_per_step is that of a full step; an epoch's last steps may see fewer."""

    shown_per_epoch: int
    images_per_step: int
    steps_per_epoch: int
    total_steps: int
    saves: int
    sample_pictures: int


def count_steps(config: TrainConfig, buckets: Sequence[Bucket], *, world_size: int = 1) -> Steps:
    """Batches never mix buckets; a step takes accumulation * world_size of them, an epoch's last one the rest."""
    batches = sum(math.ceil(bucket.shown / config.train_batch_size) for bucket in buckets)
    in_a_step = config.gradient_accumulation_steps * world_size
    per_epoch = math.ceil(batches / in_a_step)
    total = config.max_train_steps or config.num_epochs * per_epoch
    left = Due(config, per_epoch, total).left(1)
    # Samples are drawn before the first step as well.
    drawn = 1 + left["sample"] if left["sample"] else 0
    return Steps(
        shown_per_epoch=sum(bucket.shown for bucket in buckets),
        images_per_step=config.train_batch_size * in_a_step,
        steps_per_epoch=per_epoch,
        total_steps=total,
        saves=left["checkpoint"],
        sample_pictures=drawn * len(config.sample_prompts),
    )


@dataclass(frozen=True)
class Due:
    """After which steps a run saves, validates and samples.

    `ended`: how many epochs are over where one ends after `done` steps; 0 within an epoch.
    """

    config: TrainConfig
    steps_per_epoch: int
    total: int

    def save(self, done: int, ended: int) -> bool:
        every, epochs = self.config.save_every_n_steps, max(1, self.config.save_epochs_interval)
        return (ended > 0 and ended % epochs == 0) or _nth(done, every) or done == self.total

    def validation(self, done: int, ended: int) -> bool:
        return self.save(done, ended) or _nth(done, self.config.validation_every_n_steps)

    def sample(self, done: int, ended: int) -> bool:
        """Before the first step, `done` 0, as well."""
        every, epochs = self.config.sample_every_n_steps, self.config.sample_every_n_epochs
        by_epoch = _nth(ended, epochs) and (ended > 0 or done == 0)
        return by_epoch or _nth(done, every) or (done == self.total and bool(epochs or every))

    def left(self, first: int) -> Mapping[str, int]:
        """After how many of the steps first..total each of these is due: "checkpoint", "validation", "sample".

        Epochs are taken to have had this length from the beginning.
        """
        config, length = self.config, self.steps_per_epoch
        saving = (length * max(1, config.save_epochs_interval), config.save_every_n_steps)
        sampling = (length * config.sample_every_n_epochs, config.sample_every_n_steps)
        periods = {"checkpoint": saving, "validation": (*saving, config.validation_every_n_steps), "sample": sampling}
        return {kind: _occasions(self.total, each) - _multiples(first - 1, each) for kind, each in periods.items()}


def _nth(number: int, every: int) -> bool:
    """Whether it is a multiple of `every`, 0 = never."""
    return every > 0 and number % every == 0


def _occasions(total: int, periods: Sequence[int]) -> int:
    """Steps 1..total that are a multiple of any period (0 = never), and where there is one the last step too."""
    at_the_end = any(period and total % period == 0 for period in periods)
    return _multiples(total, periods) + (0 if at_the_end or not (total and any(periods)) else 1)


def _multiples(last: int, periods: Sequence[int]) -> int:
    """Numbers 1..last that are a multiple of any period: those of each, less those of two, and so on."""
    given = [period for period in periods if period]
    return sum(
        (-1) ** (size + 1) * (last // math.lcm(*some))
        for size in range(1, len(given) + 1)
        for some in combinations(given, size)
    )
