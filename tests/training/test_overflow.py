"""fp16's skipped steps: a few are normal, many are mentioned, and a run that does nothing else ends."""

import math
from collections.abc import Iterator
from itertools import count, repeat

import pytest
import torch

from trainer_core.contracts.errors import UserError
from trainer_core.training.loop import HostCopy, LaunchedStep
from trainer_core.training.overflow import STOP_AFTER, WARN_AFTER, OverflowWatch


def warnings_of(norms: list[float], scales: Iterator[float], *, scaled: bool = True) -> list[str]:
    watch, found = OverflowWatch(lambda: next(scales)), []
    for step, norm in enumerate(norms):
        figures = HostCopy(torch.tensor([0.5, norm]))
        launched = LaunchedStep(step=step, lr=1e-4, group=[], figures=figures, scaled=scaled)
        found.append(watch.step(launched, launched.result()))
    return [sentence for sentence in found if sentence]


def halved() -> Iterator[float]:
    return (65536 / 2**times for times in count(1))


def test_a_start_that_finds_its_scale_is_not_mentioned() -> None:
    start = [math.inf] * (WARN_AFTER - 1) + [1.0]
    assert warnings_of(start * 2, repeat(64.0)) == [] == warnings_of([1.0] * 50, iter(()), scaled=False)


def test_many_in_a_row_are_mentioned_once() -> None:
    [sentence] = warnings_of([1.0] + [math.inf] * (WARN_AFTER + 3), halved())
    assert f"{WARN_AFTER} steps in a row" in sentence and "bf16" in sentence


@pytest.mark.parametrize(("scales", "last"), [(halved(), 17), (repeat(1e6), STOP_AFTER)])
def test_what_never_recovers_ends_the_run(scales: Iterator[float], last: int) -> None:
    with pytest.raises(UserError, match=f"gradient of step {last} is not a finite") as caught:
        warnings_of([math.inf] * 100, scales)
    assert caught.value.code == "non_finite"


def test_rare_overflows_end_it_once_nothing_is_left_of_the_scale() -> None:
    with pytest.raises(UserError, match="gradient of step 34"):
        warnings_of([1.0, math.inf] * 100, halved())


def test_before_anything_was_learnt_the_base_is_suspected_and_not_the_learning_rate() -> None:
    hints = {}
    for step in (0, 5):
        figures = HostCopy(torch.tensor([math.nan, 1.0]))
        with pytest.raises(UserError, match=f"loss of step {step + 1} is") as caught:
            LaunchedStep(step=step, lr=1e-4, group=[], figures=figures, scaled=False).result()
        hints[step] = " ".join(caught.value.hints)
    assert "base model's files" in hints[0] and "learning_rate" not in hints[0] and "checkpoint" not in hints[0]
    assert "base model's files" not in hints[5] and "learning_rate" in hints[5]
