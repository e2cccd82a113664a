"""Published settings by size of data set, with the repeats counted."""

from typing import Any

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.data_advice import dataset_advice, too_long, unmeasured


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (0, ((100, 200), 5e-5, 16)),
        (99, ((100, 200), 5e-5, 16)),
        (100, ((50, 100), 1e-4, 32)),
        (1000, ((50, 100), 1e-4, 32)),
        (1001, ((20, 50), 2e-4, 64)),
    ],
)
def test_advice_by_size_of_data_set(images: int, expected: tuple[Any, ...]):
    advice = dataset_advice(images)
    made = TrainConfig(base_model_path="b", train_data_dir="d", **advice.values)
    assert (advice.epochs, made.learning_rate, made.lora_rank) == expected
    assert f"{made.learning_rate:g}" in advice.sentence


def test_repeats_are_counted():
    advice = dataset_advice(30, 10.0)
    assert (advice.times, advice.epochs, advice.values["num_epochs"]) == ((100, 200), (10, 20), 10)
    assert "each shown 10 times an epoch" in advice.sentence and "10 to 20 such epochs" in advice.sentence
    assert dataset_advice(30, 1000.0).epochs == (1, 1)


def test_a_training_many_times_too_long_is_named():
    said = too_long(30, 300, 100)
    assert "1,000 times" in said and "100 to 200 times" in said and "num_epochs = 10 " in said
    assert too_long(30, 300, 40) == too_long(30, 30, 400) == too_long(0, 0, 10_000) == ""


@pytest.mark.parametrize("settings", [{"validation_split": 0.1}, {"validation_data_dir": "v"}, {}])
def test_a_validation_without_images_is_named(settings: dict[str, Any]):
    config = TrainConfig(base_model_path="b", train_data_dir="d", validation_every_n_steps=3, **settings)
    assert bool(unmeasured(config)) is not bool(settings)
