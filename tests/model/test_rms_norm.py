"""The norm against the formula, its gradients against autograd's own."""

import pytest
import torch
from torch import Tensor

from trainer_core.model.rms_norm import rms_norm

EPS = 1e-5


def by_formula(x: Tensor, scale: Tensor) -> Tensor:
    return x * (x.square().mean(-1, keepdim=True) + EPS).rsqrt() * scale


def numbers(*shape: int, grad: bool = True) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape))).requires_grad_(grad)


@pytest.mark.parametrize(("shape", "scale"), [((2, 5, 8), (8,)), ((2, 5, 8), (2, 1, 8)), ((2, 5, 3, 8), (8,))])
@pytest.mark.parametrize("trained", ["both", "x", "scale"])
def test_values_and_gradients(shape: tuple[int, ...], scale: tuple[int, ...], trained: str) -> None:
    x, s, weight = numbers(*shape, grad=trained != "scale"), numbers(*scale, grad=trained != "x"), numbers(*shape)
    wanted = [tensor for tensor in (x, s) if tensor.requires_grad]
    got, expected = rms_norm(x, s, EPS), by_formula(x, s)
    torch.testing.assert_close(got, expected)
    for ours, autograds in zip(
        torch.autograd.grad((got * weight).sum(), wanted),
        torch.autograd.grad((expected * weight).sum(), wanted),
        strict=True,
    ):
        torch.testing.assert_close(ours, autograds, rtol=1e-5, atol=1e-5)


def test_half_precision_is_computed_in_fp32() -> None:
    """Squares of 300 overflow fp16, a mean of 4096 of them loses all digits of bf16."""
    x = torch.full((1, 4096), 300.0)
    for dtype in (torch.float16, torch.bfloat16):
        out = rms_norm(x.to(dtype), torch.ones(4096, dtype=dtype), EPS)
        assert out.dtype == dtype
        torch.testing.assert_close(out.float(), torch.ones(1, 4096))


def test_only_its_input_and_one_number_a_row_are_kept() -> None:
    kept: list[Tensor] = []
    x, scale = numbers(2, 5, 8), numbers(8, grad=False)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        rms_norm(x, scale, EPS)
    assert sorted(tensor.numel() for tensor in kept) == [8, 10, 80]
