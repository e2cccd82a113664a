"""What a step's event tells of speed and time."""

import pytest

from trainer_core.training import loop
from trainer_core.training.loop import Meter, StepResult


def test_the_time_left_includes_what_comes_between_the_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    # A drawing after every second of 10 steps: a step takes 1 s, drawings 3 s and 5 s.
    meter = Meter(10, occasions_left=lambda step: {"sample": (10 - step) // 2 + 1, "validation": 9})
    meter.pause()
    for step, seconds in enumerate((0.0, 3.0, 0.0, 5.0), 1):
        now[0] += 1.0
        told = meter.fields(step, StepResult(loss=1.0, lr=0.0, grad_norm=0.0, images=1))
        if seconds:
            with meter.pausing("sample"):
                now[0] += seconds
    # The one after this step comes still, and only the first one was seen by then.
    assert (told["seconds_per_step"], told["eta_seconds"]) == (1.0, 6 * 1.0 + 4 * 3.0)
    now[0] += 1.0
    assert meter.fields(5, StepResult(loss=1.0, lr=0.0, grad_norm=0.0, images=1))["eta_seconds"] == 5 * 1.0 + 3 * 4.0


def test_a_slow_first_step_is_forgotten_with_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """It compiles: a minute, where the others take a quarter of a second."""
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])
    meter = Meter(100, occasions_left=lambda step: {})
    meter.pause()
    told = []
    for step, seconds in enumerate((60.0, 0.25, 0.25, 0.5), 1):
        now[0] += seconds
        told.append(meter.fields(step, StepResult(loss=1.0, lr=0.0, grad_norm=0.0, images=1))["eta_seconds"])
    assert told == pytest.approx([99 * 60.0, 98 * 0.25, 97 * 0.25, 96 * 0.3423], rel=1e-3)
