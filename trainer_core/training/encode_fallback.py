"""Encoding that makes do with less memory: one at a time instead of a batch."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from trainer_core.contracts.errors import is_gpu_memory
from trainer_core.training.memory import release_memory

Item = TypeVar("Item")
Result = TypeVar("Result")


class FallbackEncoder(Generic[Item, Result]):
    """Encodes batches whole, until one does not fit into memory: that one and all after it one at a time.

    Args:
        encode: a batch.
        shrunk: called once, with the size of the batch that did not fit.
    """

    def __init__(self, encode: Callable[[list[Item]], Result], shrunk: Callable[[int], None]) -> None:
        self._encode = encode
        self._shrunk = shrunk
        self._single = False

    def __call__(self, batch: list[Item]) -> Iterator[tuple[list[Item], Result]]:
        """The batch, or each of its items as a batch, with its result. If not even one fits, its error is raised."""
        if not self._single:
            try:
                yield batch, self._encode(batch)
            except RuntimeError as error:
                if len(batch) == 1 or not is_gpu_memory(error):
                    raise
                self._single = True
            else:
                return
            # Outside of the handler: the error holds the frames, and they the tensors.
            release_memory()
            self._shrunk(len(batch))
        for item in batch:
            yield [item], self._encode([item])
