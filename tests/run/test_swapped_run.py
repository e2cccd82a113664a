"""Training with blocks in main memory is the same training, also when it is interrupted and resumed."""

import json
from collections.abc import Callable

import pytest
from runs import assert_same_run, run_of

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.training.run import run_training
from trainer_core.training.stopping import StopSignal

Make = Callable[..., TrainConfig]


def test_a_run_is_the_same_with_and_without_and_resumes_bit_exactly(
    config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Validation and sample pictures come between the steps; it is resumed with more blocks than it began with."""
    shared = {"num_epochs": 1, "validation_split": 0.2, "sample_prompts": ["1girl"], "sample_steps": 2}
    plain, halved = (config(name, swap_blocks=swap, **shared) for name, swap in (("plain", 0), ("halved", 4)))
    assert run_training(plain) == "finished"
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requests", lambda self: {"stop"})
        assert run_training(halved) == "stopped"
    resumed = config("halved", swap_blocks=6, **shared)
    assert run_training(resumed) == "finished"
    assert_same_run(plain, resumed)
    validated = [json.loads(run_of(each).validation_file.read_bytes())["measured"] for each in (plain, resumed)]
    pictures = [sorted(run_of(each).samples.iterdir()) for each in (plain, resumed)]
    assert validated[0] == validated[1] and len(validated[0]) == 2
    assert [path.read_bytes() for path in pictures[0]] == [path.read_bytes() for path in pictures[1]] != []


def test_more_blocks_than_the_base_has_are_refused_before_anything_is_written(config: Make) -> None:
    made = config(swap_blocks=7)
    with pytest.raises(UserError, match="swap_blocks = 7, but the transformer of this base has 6 main blocks"):
        run_training(made)
    assert not run_of(made).path.exists()
