"""Counts of steps, saves and samples against the training loop's own."""

from collections import Counter
from pathlib import Path, PurePosixPath

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import Bucket, tokens_of
from trainer_core.dataset.scan import ImageItem
from trainer_core.planning.schedule import Due, count_steps
from trainer_core.training.features import Sample
from trainer_core.training.steps import Schedule


def config(**values: object) -> TrainConfig:
    return TrainConfig(**{"base_model_path": "b", "train_data_dir": "x", **values})  # type: ignore[arg-type]


def sample(bucket: tuple[int, int], repeats: int) -> Sample:
    path = PurePosixPath("a.png")
    item = ImageItem(path=Path(path), relative=path, caption="", repeats=repeats, width=8, height=8)
    return Sample(item=item, image_hash="", bucket=bucket, latents="", texts=())


def buckets_of(samples: list[Sample]) -> list[Bucket]:
    shown: Counter[tuple[int, int]] = Counter()
    for one in samples:
        shown[one.bucket] += one.item.repeats
    return [Bucket(width=w, height=h, images=1, shown=count) for (w, h), count in shown.items()]


@pytest.mark.parametrize("batch", [1, 2, 3, 8])
@pytest.mark.parametrize("accumulation", [1, 2, 5])
@pytest.mark.parametrize("limit", [0, 7])
def test_steps_are_those_of_the_training_loop(batch: int, accumulation: int, limit: int):
    samples = [sample((64 + 16 * (i % 3), 64), 1 + i % 4) for i in range(11)]
    settings = config(
        train_batch_size=batch, gradient_accumulation_steps=accumulation, num_epochs=3, max_train_steps=limit
    )
    schedule = Schedule(settings, samples)
    counted = count_steps(settings, buckets_of(samples))
    assert (counted.steps_per_epoch, counted.total_steps) == (schedule.steps_per_epoch, schedule.total_steps)
    assert counted.images_per_step == batch * accumulation
    assert counted.shown_per_epoch == sum(len(b) for s in range(counted.steps_per_epoch) for b in schedule.group(s))


def test_more_gpus_take_more_batches_a_step():
    buckets = [Bucket(width=64, height=64, images=5, shown=5), Bucket(width=96, height=64, images=1, shown=1)]
    settings = config(train_batch_size=2, num_epochs=10)
    # 3 + 1 batches an epoch, because none mixes buckets.
    assert [count_steps(settings, buckets, world_size=n).steps_per_epoch for n in (1, 2, 3, 4, 8)] == [4, 2, 2, 1, 1]
    assert count_steps(settings, buckets, world_size=3).images_per_step == 6


@pytest.mark.parametrize("total", [1, 7, 12])
@pytest.mark.parametrize("epochs", [0, 1, 2])
@pytest.mark.parametrize("every", [0, 1, 3, 100])
def test_saves_and_samples_fall_where_a_session_has_them(total: int, epochs: int, every: int):
    per_epoch = 3
    settings = config(
        max_train_steps=total, save_epochs_interval=epochs, save_every_n_steps=every, sample_prompts=["a", "b"],
        sample_every_n_epochs=epochs, sample_every_n_steps=every,
    )  # fmt: skip
    counted = count_steps(settings, [Bucket(width=64, height=64, images=3, shown=3)])
    assert counted.steps_per_epoch == per_epoch

    def due(done: int, period: int) -> bool:
        return (period > 0 and done % (per_epoch * period) == 0) or (every > 0 and done % every == 0)

    saves = sum(due(done, max(1, epochs)) or done == total for done in range(1, total + 1))
    drawn = sum(due(done, epochs) or (done == total and bool(epochs or every)) for done in range(total + 1))
    assert (counted.saves, counted.sample_pictures) == (saves, 2 * drawn)


@pytest.mark.parametrize("first", [1, 4, 12])
@pytest.mark.parametrize("every", [0, 2, 4])
def test_what_is_left_from_a_step_on(first: int, every: int):
    settings = config(save_every_n_steps=3, validation_every_n_steps=every, sample_every_n_epochs=0)
    steps = range(first, 12 + 1)
    saved = {step for step in steps if step % 5 == 0 or step % 3 == 0 or step == 12}
    validated = saved | {step for step in steps if every and step % every == 0}
    assert Due(settings, 5, 12).left(first) == {"checkpoint": len(saved), "validation": len(validated), "sample": 0}


@pytest.mark.parametrize("change", [{"sample_every_n_steps": 4}, {"save_epochs_interval": 2}, {}], ids=str)
@pytest.mark.parametrize("first", [1, 7, 23])
def test_what_is_left_is_how_often_each_is_due(change: dict[str, int], first: int):
    due = Due(config(**change, save_every_n_steps=6, validation_every_n_steps=3), 5, 23)
    steps = [(done, 0 if done % 5 else done // 5) for done in range(first, 23 + 1)]
    kinds = {"checkpoint": due.save, "validation": due.validation, "sample": due.sample}
    assert due.left(first) == {kind: sum(is_due(*step) for step in steps) for kind, is_due in kinds.items()}


def test_tokens_are_estimated_from_above():
    assert tokens_of("") == 1
    assert tokens_of("1girl, long hair, blue eyes, school uniform") >= 13
    assert tokens_of("银发少女") == 5
