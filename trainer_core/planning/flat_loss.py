"""Is the loss flat, and what to check if it is."""

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance
from typing import Any

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.data_advice import PUBLISHED_RATES, dataset_advice

# A loss that falls by less than this from the first to the last third of the run counts as flat.
SMALLEST_FALL = 0.08
# Before this share of the run is done nothing is said: what falls slowly has hardly begun to.
_EARLIEST = 0.15
_BLOCKS = 30
_STEPS_PER_BLOCK = 10
# One-sided quantiles: the fall must be below SMALLEST_FALL with 99 % confidence (Student's t, 18 degrees of
# freedom), and no beginning of the curve may stand out from the rest by three standard errors.
_T_99 = 2.55
_STANDS_OUT = 3.0


def is_flat(losses: Sequence[float], progress: float = 1.0) -> bool:
    """True once the losses of a run's steps, in order, show that it is not learning.

    Args:
        progress: share of the run's steps that these are, above 0 and up to 1.

    A flow-matching loss depends on the timestep far more than on progress: single steps scatter by half their
    value around a mean that sinks by a tenth over hours. So a smoothed curve "looks flat" in every run, and the
    question is turned round: the answer is yes only where a fall worth mentioning can be ruled out. The logarithms
    (which tame the tail and make falls relative) are averaged in 30 blocks of consecutive steps; blocks, unlike
    steps, are nearly independent, and their own scatter gives the error of the comparison. Flat means: the upper
    99 % bound of the fall between the first and the last third is below `progress` x `SMALLEST_FALL`, what a loss has
    fallen by then that sinks evenly, and no beginning of the run stands out above the rest, as that of a loss which
    fell early and has settled does.

    Too few or too scattered losses to tell (at least 300 are needed, 500 to 1500 as they usually scatter) give
    False. At the end of a run a loss that truly fell by `SMALLEST_FALL` is called flat in about 1 of 100 runs; asked
    again and again on the way, in some more.
    """
    if progress < _EARLIEST:
        return False
    logs = [math.log(loss) for loss in losses if math.isfinite(loss) and loss > 0]
    if len(logs) < _BLOCKS * _STEPS_PER_BLOCK:
        return False
    edges = [len(logs) * number // _BLOCKS for number in range(_BLOCKS + 1)]
    blocks = [fmean(logs[start:end]) for start, end in zip(edges, edges[1:], strict=False)]
    third = _BLOCKS // 3
    first, last = blocks[:third], blocks[-third:]
    error = math.sqrt((variance(first) + variance(last)) / third)
    fall = fmean(first) - fmean(last)
    return fall + _T_99 * error < -math.log(1 - progress * SMALLEST_FALL) and not _fell_early(blocks)


def progress_of(step: Mapping[str, Any]) -> float:
    """The share of its run that a "step" event was told at; 1.0 where it does not say."""
    done, total = step.get("step"), step.get("total_steps")
    return min(done / total, 1.0) if isinstance(done, int) and isinstance(total, int) and 0 < done and total else 1.0


def _fell_early(blocks: Sequence[float]) -> bool:
    for length in (1, 2, 3, 5):
        rest = blocks[length:]
        scatter = math.sqrt(variance(rest))
        above = fmean(blocks[:length]) - fmean(rest)
        if above > _STANDS_OUT * scatter * math.sqrt(1 / length + 1 / len(rest)):
            return True
    return False


def flat_loss_hints(
    config: TrainConfig, *, images: int, repeats: float = 1.0, captionless: int = 0, steps: int = 0
) -> tuple[str, ...]:
    """The published checks for a loss that does not fall, each with what this run has.

    Args:
        images: image files trained on, 0 where that is not known; captionless: those of them without a caption.
        repeats: how often an epoch shows each of them on average.
        steps: optimizer steps done so far.
    """
    return (
        _rate_check(config, steps),
        _caption_check(images, captionless),
        _epoch_check(config, images, repeats),
        _path_check(config),
    )


def _rate_check(config: TrainConfig, steps: int) -> str:
    low, high = PUBLISHED_RATES
    rate = config.learning_rate
    if steps < config.lr_warmup_steps:
        return f"Learning rate: still rising, step {steps} of lr_warmup_steps = {config.lr_warmup_steps}."
    if rate < low:
        return f"Learning rate: {rate:g} is below the usual {low:g} to {high:g}; try learning_rate = {low:g}."
    if rate > high:
        return f"Learning rate: {rate:g} is above the usual {low:g} to {high:g}; try learning_rate = {high:g}."
    other = high if rate < high else low
    return f"Learning rate: {rate:g} is within the usual {low:g} to {high:g}; try learning_rate = {other:g}."


def _caption_check(images: int, captionless: int) -> str:
    if captionless:
        return f"Captions: {captionless} of {images} images have none; write what each picture shows into its .txt."
    have = f"all {images} images have one; " if images else ""
    return f"Captions: {have}read a few beside their pictures, do they say what is there?"


def _epoch_check(config: TrainConfig, images: int, repeats: float) -> str:
    low, high = dataset_advice(images, repeats).epochs if images else (20, 200)
    size = f"{images} images" if images else "most data sets"
    length = f"max_train_steps = {config.max_train_steps}" if config.max_train_steps else f"{config.num_epochs} epochs"
    verdict = "enough"
    if config.max_train_steps:
        verdict = "see that it comes to as much"
    elif config.num_epochs < low:
        verdict = f"try num_epochs = {low}"
    return f"Length: {length}; for {size} {low} to {high} epochs are usual: {verdict}."


def _path_check(config: TrainConfig) -> str:
    path = config.transformer_path or config.base_model_path
    return f"Model: it trains on {path}; is that the NewBie-image base, the one you draw with?"
