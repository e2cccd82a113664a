"""Batches made ahead of their use, in the order in which they will be asked for.

A batch is a function of its key alone, so threads cannot change results, only when they are there.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Key = TypeVar("Key")
Value = TypeVar("Value")

AHEAD_PER_WORKER = 2


class Prefetcher(Generic[Key, Value]):
    """`get(key)` returns `make(key)`; with `workers` > 0 the keys that follow are made in threads meanwhile.

    `after(key)` yields the keys that will follow `key`. Asking for another key than the next starts anew from there.
    """

    def __init__(self, make: Callable[[Key], Value], after: Callable[[Key], Iterator[Key]], workers: int) -> None:
        self._make = make
        self._after = after
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="batches") if workers else None
        self._limit = workers * AHEAD_PER_WORKER
        self._pending: deque[tuple[Key, Future[Value]]] = deque()
        self._following: Iterator[Key] = iter(())

    def get(self, key: Key) -> Value:
        """Raises what `make` raises for this key."""
        if self._pool is None:
            return self._make(key)
        if not self._pending or self._pending[0][0] != key:
            self._drop()
            self._submit(key)
            self._following = self._after(key)
        _, future = self._pending.popleft()
        while len(self._pending) < self._limit:
            following = next(self._following, None)
            if following is None:
                break
            self._submit(following)
        return future.result()

    def close(self) -> None:
        """Stop the threads; batches that nobody asked for are thrown away."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, key: Key) -> None:
        assert self._pool is not None
        self._pending.append((key, self._pool.submit(self._make, key)))

    def _drop(self) -> None:
        for _, future in self._pending:
            future.cancel()
        self._pending.clear()
