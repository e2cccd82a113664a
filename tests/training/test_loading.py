import threading
from collections.abc import Iterator

import pytest

from trainer_core.training.loading import Prefetcher


def following(key: int) -> Iterator[int]:
    yield from range(key + 1, 10)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_values_come_in_order_and_any_jump_starts_anew(workers: int) -> None:
    fetcher = Prefetcher(lambda key: key * key, following, workers)
    assert [fetcher.get(key) for key in (0, 1, 2, 7, 8, 9, 3, 4)] == [0, 1, 4, 49, 64, 81, 9, 16]
    fetcher.close()


def test_following_values_are_made_before_they_are_asked_for() -> None:
    made, ahead = [], threading.Event()

    def make(key: int) -> int:
        made.append(key)
        if key == 2:
            ahead.set()
        return key

    fetcher = Prefetcher(make, following, 1)
    fetcher.get(0)
    assert ahead.wait(5) and 5 not in made
    fetcher.close()


def test_an_error_is_raised_where_its_value_is_asked_for() -> None:
    fetcher = Prefetcher(lambda key: 1 // (key - 1), following, 2)
    assert fetcher.get(0) == -1
    with pytest.raises(ZeroDivisionError):
        fetcher.get(1)
    assert fetcher.get(2) == 1
    fetcher.close()
