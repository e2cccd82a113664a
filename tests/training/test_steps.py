"""Where a run goes on when its epochs have another length than before."""

from pathlib import Path, PurePosixPath

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.dataset.scan import ImageItem
from trainer_core.training.features import Sample
from trainer_core.training.steps import Schedule


def schedule(images: int = 12, **values: object) -> Schedule:
    settings = {"base_model_path": "b", "train_data_dir": "x", "num_epochs": 5, **values}
    path = PurePosixPath("a.png")
    item = ImageItem(path=Path(path), relative=path, caption="", repeats=1, width=8, height=8)
    samples = [
        Sample(item=item, image_hash=str(i), bucket=(64 + 16 * (i % 4), 64), latents="", texts=())
        for i in range(images)
    ]
    return Schedule(TrainConfig(**settings), samples)  # type: ignore[arg-type]


def after(before: Schedule, step: int, now: Schedule) -> Schedule:
    return now.going_on({"step": step, **before.state(step)})


def test_a_run_that_changes_nothing_goes_on_as_it_would_have():
    one = schedule(train_batch_size=2)
    other = after(one, 17, schedule(train_batch_size=2))
    assert other.total_steps == one.total_steps == 40 and other.state(17) == one.state(17)
    steps = range(17, 40)
    assert [other.group(n) for n in steps] == [one.group(n) for n in steps]
    assert [other.rate()(n) for n in steps] == [one.rate()(n) for n in steps]


@pytest.mark.parametrize("step", [0, 1, 24, 30, 59])
def test_it_stays_in_its_epoch_and_as_far_into_it(step: int):
    # Batches never mix the four buckets: 12 steps an epoch become 3.
    one, now = schedule(), schedule(gradient_accumulation_steps=4)
    other = after(one, step, now)
    assert (one.steps_per_epoch, other.steps_per_epoch) == (12, 3)
    assert other.epoch_of(step) == one.epoch_of(step)
    left = [other.ended_epochs(done) for done in range(step + 1, other.total_steps + 1)]
    assert [ended for ended in left if ended] == list(range(step // 12 + 1, 6)) and left[-1] == 5
    assert other.group(step) == now.group(other.state(step)["epoch"] * 3 + other.state(step)["position"])


@pytest.mark.parametrize("warmup", [0, 6, 40])
def test_the_rate_goes_on_from_where_it_was(warmup: int):
    one = schedule(lr_warmup_steps=warmup, lr_scheduler="cosine")
    other = after(one, 24, schedule(lr_warmup_steps=warmup, lr_scheduler="cosine", train_batch_size=3))
    assert (one.total_steps, other.total_steps) == (60, 24 + 3 * 4)
    assert other.rate()(24) == pytest.approx(one.rate()(24))
    assert other.rate()(35) < 1e-5 or warmup == 40


def test_a_second_stop_changes_nothing_and_neither_does_the_way_back():
    many, few = schedule(), schedule(train_batch_size=3)
    first = after(many, 24, few)
    again = after(first, 30, few)
    assert again.state(30) == first.state(30) and again.total_steps == first.total_steps
    assert [again.rate()(n) for n in range(30, 36)] == [first.rate()(n) for n in range(30, 36)]
    # 6 of 12 places are gone then, two epochs of 12 steps to come.
    back = after(first, 30, many)
    assert back.state(30)["epoch"] == first.state(30)["epoch"] and back.total_steps == 30 + 60 - 12 * 3 - 6


def test_a_number_of_steps_stays_that_number():
    other = after(schedule(max_train_steps=50), 24, schedule(max_train_steps=50, train_batch_size=3))
    assert other.total_steps == 50 and other.epoch_of(24) == 2
