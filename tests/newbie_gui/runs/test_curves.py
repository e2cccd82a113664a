"""Smoothing and thinning: nothing that matters gets lost."""

import numpy as np
import pytest

from newbie_gui.runs.curves import Curve, GrowingColumns
from trainer_core.training.loop import Meter, StepResult


def curve(values: object) -> Curve:
    array = np.asarray(values, dtype=float)
    return Curve(steps=np.arange(1.0, len(array) + 1), values=array)


@pytest.mark.parametrize("length", [0, 1, 9, 10, 11, 12, 57, 10_001])
def test_a_thinned_curve_is_short_and_keeps_its_ends_and_spikes(length: int) -> None:
    values = np.random.default_rng(3).random(length)
    if length > 100:
        values[length // 3], values[length // 2] = 9.0, -9.0
    thin = curve(values).thinned(10)
    assert len(thin) <= 10 and (np.diff(thin.steps) > 0).all()
    assert len(thin) == min(length, 10) or length > 10
    if length:
        assert thin.steps[[0, -1]].tolist() == [1, length]
        assert thin.values.min() == values.min() and thin.values.max() == values.max()


def test_points_without_a_value_go() -> None:
    thin = curve([1, np.nan, 3, np.inf]).thinned(4)
    assert thin.steps.tolist() == [1, 3]


def test_smoothing_is_the_trainers_own() -> None:
    losses, meter = [1.0, 2.0, 0.5, 4.0] * 50, Meter(total_steps=200)
    told = [
        meter.fields(step, StepResult(loss=loss, lr=0.0, grad_norm=0.0, images=1))["loss_smoothed"]
        for step, loss in enumerate(losses, 1)
    ]
    assert told[:2] == [1.0, pytest.approx((0.98 * 1 + 2) / 1.98)]
    assert curve(losses).smoothed(0.98).values == pytest.approx(told)
    assert curve([1.0, 2.0]).smoothed(0.0).values.tolist() == [1.0, 2.0]


def test_what_has_no_logarithm_is_left_out() -> None:
    assert curve([0.01, 0.0, -1.0]).log10().thinned(4).values.tolist() == [-2.0]


def test_a_range_of_steps_includes_its_ends() -> None:
    assert curve(range(9)).between(3, 5).steps.tolist() == [3, 4, 5]


def test_steps_told_anew_replace_what_was_there() -> None:
    growing = GrowingColumns(2)
    for step in range(1, 600):
        growing.append(step, 1.0)
    growing.append(400, 7.0)
    growing.append(401, 8.0)
    assert growing.column(0).tolist() == list(range(1, 402))
    assert growing.curve(1).values[-3:].tolist() == [1.0, 7.0, 8.0]
