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
    """Micro-batches never mix buckets; a step takes accumulation * world_size of them, an epoch's last one the rest."""
    batches = sum(math.ceil(bucket.shown / config.train_batch_size) for bucket in buckets)
    in_a_step = config.gradient_accumulation_steps * world_size
    per_epoch = math.ceil(batches / in_a_step)
    total = config.max_train_steps or config.num_epochs * per_epoch
    left = occasions_left(config, per_epoch, 1, total)
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


def occasions_left(config: TrainConfig, steps_per_epoch: int, first: int, total: int) -> Mapping[str, int]:
    """After how many of the steps first..total each of these is due: "checkpoint", "validation", "sample".

    Epochs are taken to have had this length from the beginning.
    """
    saving = (steps_per_epoch * max(1, config.save_epochs_interval), config.save_every_n_steps)
    sampling = (steps_per_epoch * config.sample_every_n_epochs, config.sample_every_n_steps)
    due = {"checkpoint": saving, "validation": (*saving, config.validation_every_n_steps), "sample": sampling}
    return {kind: _occasions(total, periods) - _multiples(first - 1, periods) for kind, periods in due.items()}


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
