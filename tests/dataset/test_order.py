"""The order of an epoch: a function of (seed, epoch), batches of one bucket, nobody lost."""

from collections import Counter

import pytest

from trainer_core.dataset.order import epoch_order, keyed_seed

BUCKETS = [(64, 64)] * 7 + [(64, 128)] * 4 + [(128, 64)]
REPEATS = [1, 2, 3, 1, 1, 1, 1, 5, 1, 1, 1, 2]


def order(*, seed: int = 1, epoch: int = 0, batch_size: int = 3) -> tuple[tuple[int, ...], ...]:
    return epoch_order(BUCKETS, REPEATS, batch_size=batch_size, seed=seed, epoch=epoch)


def test_the_order_is_a_pure_function_of_seed_and_epoch() -> None:
    later = order(epoch=7)
    order(epoch=3)
    assert order(epoch=7) == later
    assert len({order(seed=seed, epoch=epoch) for seed in range(3) for epoch in range(3)}) == 9


def test_the_order_is_the_same_on_every_machine() -> None:
    assert epoch_order([(64, 64)] * 5, [1] * 5, batch_size=2, seed=42, epoch=0) == FIRST_EPOCH_OF_42


FIRST_EPOCH_OF_42 = ((4,), (3, 1), (0, 2))


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 100])
def test_every_item_comes_as_often_as_it_repeats(batch_size: int) -> None:
    seen = Counter(item for batch in order(batch_size=batch_size) for item in batch)
    assert seen == dict(enumerate(REPEATS))


@pytest.mark.parametrize("batch_size", [2, 3, 5])
def test_batches_never_mix_buckets_and_keep_the_last_partial_one(batch_size: int) -> None:
    sizes: dict[tuple[int, int], list[int]] = {}
    for batch in order(batch_size=batch_size):
        (bucket,) = {BUCKETS[item] for item in batch}
        sizes.setdefault(bucket, []).append(len(batch))
    for bucket, lengths in sizes.items():
        total = sum(count for item, count in enumerate(REPEATS) if BUCKETS[item] == bucket)
        assert sum(lengths) == total
        assert sorted(lengths, reverse=True)[:-1] == [batch_size] * (len(lengths) - 1)


def test_buckets_are_mixed_over_the_epoch() -> None:
    first = {BUCKETS[order(epoch=epoch)[0][0]] for epoch in range(30)}
    assert len(first) == 3


def test_items_and_repeats_must_match() -> None:
    with pytest.raises(ValueError):
        epoch_order([(64, 64)], [1, 1], batch_size=1, seed=0, epoch=0)


def test_seeds_tell_kinds_and_neighbours_apart() -> None:
    assert keyed_seed(1, "a") == keyed_seed(1, "a")
    assert len({keyed_seed(1, 2), keyed_seed(12), keyed_seed("1", 2), keyed_seed(1, "2"), keyed_seed(2, 1)}) == 5
    assert 0 <= keyed_seed(1) < 2**63
