"""Settings for a data set of some size, as the model's makers publish them."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from trainer_core.contracts.config import TrainConfig

PUBLISHED_RATES = (5e-5, 2e-4)


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Published settings for a data set's size: ranges, one set of values to start from, and a sentence.

    times: how often each image should be trained; epochs: what comes to that with the repeats.
    """

    times: tuple[int, int]
    epochs: tuple[int, int]
    values: MappingProxyType[str, Any]
    sentence: str


def dataset_advice(images: int, repeats: float = 1.0) -> Advice:
    """Published settings for a number of images (files), which an epoch shows `repeats` times each on average."""
    assert images >= 0 and repeats > 0, (images, repeats)
    if images < 100:
        times, rate, rank, warmup, size = (100, 200), 5e-5, 16, 50, "fewer than 100"
    elif images <= 1000:
        times, rate, rank, warmup, size = (50, 100), 1e-4, 32, 100, "100 to 1000"
    else:
        times, rate, rank, warmup, size = (20, 50), 2e-4, 64, 200, "more than 1000"
    low, high = (max(1, round(count / repeats)) for count in times)
    values = {
        "num_epochs": low,
        "learning_rate": rate,
        "lora_rank": rank,
        "lora_alpha": float(rank),
        "lr_warmup_steps": warmup,
    }
    if repeats == 1:
        sentence = (
            f"{images} images: for {size}, {low} to {high} epochs, learning_rate {rate:g} and lora_rank {rank} "
            "are recommended. Repeats (10_name) count: an epoch with 10 repeats is worth ten."
        )
    else:
        sentence = (
            f"{images} images, each shown {repeats:.3g} times an epoch: for {size}, {low} to {high} such epochs, "
            f"learning_rate {rate:g} and lora_rank {rank} are recommended."
        )
    return Advice(times=times, epochs=(low, high), values=MappingProxyType(values), sentence=sentence)


def too_long(images: int, shown: int, epochs: int) -> str:
    """A sentence where a training of images, shown so often an epoch with their repeats, is over twice as long as ever
    recommended; else ""."""
    if not images or not shown:
        return ""
    advice = dataset_advice(images, shown / images)
    seen = epochs * shown / images
    if seen <= 2 * advice.times[1]:
        return ""
    return (
        f"Each image is trained {seen:,.0f} times (num_epochs x repeats); for so many images {advice.times[0]} to "
        f"{advice.times[1]} times are recommended, which num_epochs = {advice.epochs[0]} comes to."
    )


def unmeasured(config: TrainConfig) -> str:
    """A sentence where the validation loss is asked for and no image is held out to measure it with; else ""."""
    if not config.validation_every_n_steps or config.validation_split or config.validation_data_dir:
        return ""
    return (
        f"validation_every_n_steps = {config.validation_every_n_steps} measures nothing: set validation_split (0.05, "
        "say) or validation_data_dir."
    )
