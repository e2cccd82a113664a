"""The sentence about a run's health: what the losses really say."""

import numpy as np
import pytest

from newbie_gui.runs.curves import Curve
from newbie_gui.runs.health import EARLIEST, health_of

NONE = Curve(steps=np.empty(0), values=np.empty(0))


def losses(length: int, end: float, seed: int = 1) -> Curve:
    """Scatter as training has it around a mean that goes from 1 to ``end``."""
    noise = np.random.default_rng(seed).lognormal(0, 0.4, length)
    return Curve(steps=np.arange(1.0, length + 1), values=noise * np.linspace(1, end, length))


@pytest.mark.parametrize(("end", "key"), [(0.5, "falling"), (2.0, "rising"), (1.0, "flat")])
def test_a_clear_trend_is_told(end: float, key: str) -> None:
    assert health_of(losses(4000, end), NONE).key == key


def test_the_fall_is_told_in_percent() -> None:
    assert health_of(losses(4000, 0.5), NONE).values["percent"] == pytest.approx(42, abs=8)


def test_a_loss_that_goes_on_falling_is_not_told_to_rise() -> None:
    steps = np.arange(1.0, 4001)
    # Fast at the start, as training has it.
    values = losses(4000, 1.0).values * np.where(steps < 100, np.exp(-steps / 80), 0.29 * (steps / 100) ** -0.3)
    lengths = (100, 200, 400, 800, 2000, 4000)
    told = [health_of(Curve(steps=steps[:length], values=values[:length]), NONE) for length in lengths]
    percents = [found.values["percent"] for found in told]
    assert {found.key for found in told} == {"falling"} and percents == sorted(percents)


@pytest.mark.parametrize("steps_to_a_third", [5, 20, 40])
def test_a_loss_that_falls_quickly_and_settles_has_fallen_ever_after(steps_to_a_third: int) -> None:
    steps = np.arange(1.0, 601)
    noise = np.random.default_rng(0).lognormal(0, 0.15, 600)
    values = noise * (0.75 + 2.25 * np.exp(-steps / steps_to_a_third))
    for length in (80, 120, 200, 400, 600):
        assert health_of(Curve(steps=steps[:length], values=values[:length]), NONE).key == "falling"


def test_noise_alone_is_seldom_called_a_trend() -> None:
    told = [health_of(losses(length, 1.0, seed), NONE).key for length in (60, 120, 250) for seed in range(100)]
    assert sum(key in ("falling", "rising") for key in told) <= 9


def test_few_steps_say_nothing() -> None:
    found = health_of(losses(EARLIEST - 1, 0.1), NONE)
    assert found.key == "early" and found.values == {"steps": EARLIEST - 1, "needed": EARLIEST}


def test_a_flat_loss_comes_with_what_to_check() -> None:
    assert health_of(losses(4000, 1.0), NONE, hints=("Learning rate: ...",)).hints == ("Learning rate: ...",)


def test_the_step_without_a_number_is_named() -> None:
    message = "The loss of step 41 is not a finite number. Images of that step: a.png."
    found = health_of(losses(40, 1.0), NONE, failure_code="non_finite", failure=message)
    assert (found.key, found.values["step"]) == ("nan", 41)


def test_a_validation_loss_that_turned_is_told() -> None:
    turned = Curve(steps=np.array([10.0, 20, 30, 40, 50]), values=np.array([1, 0.8, 0.9, 0.95, 1.0]))
    assert health_of(losses(4000, 0.5), turned).values == {"step": 20}
    still = Curve(steps=turned.steps, values=np.array([1, 0.8, 0.9, 0.81, 1.0]))
    assert health_of(losses(4000, 0.5), still).key == "falling"
