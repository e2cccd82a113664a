"""Batches that do not fit into memory, one by one."""

import pytest
import torch

from trainer_core.training.encode_fallback import FallbackEncoder


def test_from_the_first_batch_that_does_not_fit_on_it_is_one_at_a_time() -> None:
    tried: list[list[int]] = []
    told: list[int] = []
    errors = [RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")]

    def encode(batch: list[int]) -> int:
        tried.append(list(batch))
        if len(batch) > 2:
            raise errors.pop()
        return sum(batch)

    fitting = FallbackEncoder(encode, told.append)
    results = [pair for batch in ([1, 2], [3, 4, 5], [6, 7]) for pair in fitting(batch)]
    assert results == [([1, 2], 3), ([3], 3), ([4], 4), ([5], 5), ([6], 6), ([7], 7)]
    assert told == [3] and tried[1] == [3, 4, 5] and len(tried) == 7


def test_what_does_not_fit_alone_fails() -> None:
    def encode(batch: list[int]) -> int:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        list(FallbackEncoder(encode, lambda size: None)([1]))


def test_another_error_is_not_tried_again() -> None:
    def encode(batch: list[int]) -> int:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        list(FallbackEncoder(encode, lambda size: pytest.fail("shrunk"))([1, 2]))
