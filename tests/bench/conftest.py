"""Benchmarks that are called in the tests' own process, which has imported torch already."""

from collections.abc import Iterator

import pytest
from accelerate.state import AcceleratorState


@pytest.fixture
def fresh_accelerate() -> Iterator[None]:
    """Accelerate keeps what it was told first for a whole process; a benchmark normally has one of its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)
