"""`is_flat` on synthetic losses that scatter like a flow-matching loss, and the checks that follow."""

import math
import random
from collections.abc import Callable

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.flat_loss import SMALLEST_FALL, flat_loss_hints, is_flat, progress_of

Curve = Callable[[float], float]


def flat(progress: float) -> float:
    return 0.5


def steady_fall(progress: float) -> float:
    """From the first to the last third (2/3 apart in the middle) it falls by SMALLEST_FALL in the logarithm."""
    return 0.5 * math.exp(1.5 * math.log(1 - SMALLEST_FALL) * progress)


def early_fall(progress: float) -> float:
    """A third is gone within the first twentieth; flat from there."""
    return 0.5 * (1 + 0.5 * math.exp(-progress / 0.02))


def series(curve: Curve, steps: int, seed: int, scatter: float = 0.4) -> list[float]:
    """Log-normal scatter, as the timestep gives it, with heavy upper tail."""
    draw = random.Random(seed)
    return [curve(step / steps) * draw.lognormvariate(0, scatter) for step in range(steps)]


def share(curve: Curve, steps: int, scatter: float = 0.4, runs: int = 100) -> float:
    return sum(is_flat(series(curve, steps, seed, scatter)) for seed in range(runs)) / runs


@pytest.mark.parametrize("steps", [300, 1000, 3000])
@pytest.mark.parametrize("scatter", [0.3, 0.6])
def test_a_falling_loss_is_not_called_flat(steps: int, scatter: float, record_figure):
    alarms = share(steady_fall, steps, scatter)
    record_figure(f"is_flat, false alarms at {steps} steps, scatter {scatter}", alarms)
    assert alarms <= 0.03


def test_a_loss_that_fell_early_and_settled_is_not_called_flat():
    assert share(early_fall, 3000, 0.3) <= 0.03


@pytest.mark.parametrize(("steps", "least"), [(1500, 0.6), (4000, 0.85)])
def test_a_flat_loss_is_found(steps: int, least: float, record_figure):
    found = share(flat, steps)
    record_figure(f"is_flat, flat runs found at {steps} steps", found)
    assert found >= least


def told_on_the_way(curve: Curve, steps: int, scatter: float) -> float:
    """Share of 40 runs that are called flat at one of the looks, ever rarer, that are taken while they go on."""
    runs = [series(curve, steps, seed, scatter) for seed in range(40)]
    looks = [length for length in (300, 600, 1200, 2400, 4800) if length < steps] + [steps]
    return sum(any(is_flat(run[:look], look / steps) for look in looks) for run in runs) / len(runs)


@pytest.mark.parametrize("steps", [1500, 8000])
def test_a_run_that_falls_evenly_by_a_quarter_is_not_called_flat_before_it_has(steps: int, record_figure):
    told = told_on_the_way(lambda progress: 0.5 * (1 - 0.25 * progress), steps, 0.3)
    record_figure(f"is_flat, false alarms on the way of {steps} steps that fall by a quarter", told)
    assert told <= 0.05
    assert told_on_the_way(flat, steps, 0.3) >= 0.9


def test_the_progress_of_a_step():
    assert progress_of({"step": 30, "total_steps": 120}) == 0.25
    assert progress_of({"step": 130, "total_steps": 120}) == progress_of({"step": 3}) == progress_of({}) == 1.0


def test_a_rising_loss_is_not_learning_either():
    assert share(lambda progress: 0.5 + 0.1 * progress, 1500, runs=50) >= 0.9


def test_neighbouring_steps_that_resemble_each_other_raise_no_alarm():
    """Epochs of a few pictures repeat themselves: scatter that lasts for ten steps."""
    alarms = 0
    for seed in range(100):
        slow = series(lambda progress: 1.0, 200, seed + 1000, 0.3)
        fast = series(steady_fall, 2000, seed, 0.2)
        alarms += is_flat([loss * slow[step // 10] for step, loss in enumerate(fast)])
    assert alarms <= 3


@pytest.mark.parametrize("losses", [[], [0.5] * 299, [math.nan] * 1000, [0.0] * 1000, [-1.0] * 1000])
def test_what_tells_nothing_is_not_called_flat(losses: list[float]):
    assert not is_flat(losses)


def test_a_constant_loss_is_flat():
    assert is_flat([0.5] * 300) and is_flat([0.5, math.inf] * 300)


def config(**values: object) -> TrainConfig:
    return TrainConfig(base_model_path="my/base", train_data_dir="d", **values)


@pytest.mark.parametrize(
    ("rate", "words"), [(1e-6, "below"), (1e-3, "above"), (1e-4, "try learning_rate = 0.0002"), (2e-4, "5e-05")]
)
def test_the_rate_is_judged(rate: float, words: str):
    assert words in flat_loss_hints(config(learning_rate=rate), images=10, steps=500)[0]


def test_the_published_checks_name_what_the_run_has():
    rate, captions, length, model = flat_loss_hints(config(num_epochs=10), images=50, captionless=3, steps=20)
    assert "still rising" in rate and "3 of 50" in captions
    assert "num_epochs = 100" in length and "my/base" in model
    unknown = flat_loss_hints(config(), images=0, steps=500)
    assert not any(" 0 images" in hint for hint in unknown)
    assert "max_train_steps = 9" in flat_loss_hints(config(max_train_steps=9), images=50)[2]
