"""Which cards a build of PyTorch runs on, and which build runs on a card."""

import pytest

from trainer_core.planning.torch_builds import (
    CURRENT_BUILD,
    OLDER_BUILD,
    build_with_kernels,
    has_kernels,
    needed_driver,
)

CUDA_13 = ["sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120"]


@pytest.mark.parametrize(
    ("architectures", "runs_on", "not_on"),
    [
        (CUDA_13, [(7, 5), (8, 0), (8, 6), (8, 9), (9, 0), (10, 3), (12, 1)], [(6, 1), (7, 0), (11, 0)]),
        (["sm_86"], [(8, 6), (8, 9)], [(8, 0), (9, 0)]),
        (["sm_80", "compute_90"], [(8, 6), (9, 0), (12, 0)], [(7, 5)]),
        (["sm_90a"], [(9, 0)], [(9, 1), (10, 0)]),
        (["compute_100f"], [(10, 0), (10, 3)], [(12, 0)]),
        ([], [(3, 5)], []),
    ],
)
def test_a_build_runs_on_what_its_code_allows(
    architectures: list[str], runs_on: list[tuple[int, int]], not_on: list[tuple[int, int]]
):
    assert [card for card in [*runs_on, *not_on] if has_kernels(architectures, card)] == runs_on


def test_the_build_for_a_card():
    assert build_with_kernels((7, 0), "13.0") == OLDER_BUILD
    assert build_with_kernels((12, 0), "12.6") == CURRENT_BUILD
    assert build_with_kernels((7, 0), "12.6") == build_with_kernels((3, 5), "13.0") == ""


def test_the_driver_that_a_build_needs():
    assert (needed_driver("13.0", "555.85"), needed_driver("13.0", "580.95.05"), needed_driver("13.0", "")) == (
        580,
        0,
        0,
    )
