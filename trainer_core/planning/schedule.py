"""How many steps, saves and sample pictures a run has, exactly as training counts them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    saving = per_epoch * max(1, config.save_epochs_interval)
    sampling = per_epoch * config.sample_every_n_epochs
    # Samples are drawn before the first step as well.
    drawn = 1 + _occasions(total, sampling, config.sample_every_n_steps) if total else 0
    sampled = bool(config.sample_every_n_epochs or config.sample_every_n_steps)
    return Steps(
        shown_per_epoch=sum(bucket.shown for bucket in buckets),
        images_per_step=config.train_batch_size * in_a_step,
        steps_per_epoch=per_epoch,
        total_steps=total,
        saves=_occasions(total, saving, config.save_every_n_steps),
        sample_pictures=drawn * len(config.sample_prompts) if sampled else 0,
    )


def _occasions(total: int, every: int, also_every: int) -> int:
    """Steps 1..total that are a multiple of either period (0 = never), and the last step in any case."""
    both = math.lcm(every, also_every)
    first, second, shared = (total // period if period else 0 for period in (every, also_every, both))
    at_the_end = any(period and total % period == 0 for period in (every, also_every))
    return first + second - shared + (0 if at_the_end or not total else 1)
