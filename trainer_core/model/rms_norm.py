"""Root-mean-square norm with a scale, in few passes over memory and with little kept for the backward pass."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def rms_norm(x: Tensor, scale: Tensor, eps: float) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * scale over the last axis, fp32 inside, x's dtype out.

    Autograd would keep x, the quotient and one product for each factor of the scale; this keeps x and one number a
    row. Backward, with r the inverse root and s the scale: dx = r s g - x r^3 mean(g s x), ds = sum(g x r).

    Args:
        x: [..., D].
        scale: [D], or [B, 1, D] for x [B, T, D].
    """
    if torch.compiler.is_compiling():
        # A compiler fuses the plain formula, and decides itself what is kept.
        wide = x.float()
        return (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps) * scale).to(x.dtype)
    return _RmsNorm.apply(x, scale, eps)


class _RmsNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Tensor, eps: float) -> Tensor:
        wide = x.float()
        norm = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = norm.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, scale, inverse)
        return (wide * inverse).mul_(scale).to(x.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, scale, inverse = ctx.saved_tensors
        wide, grad = x.float(), grad.float()
        product = grad * wide
        dx = ds = None
        if ctx.needs_input_grad[1]:
            ds = _like(product * inverse, scale)
        if ctx.needs_input_grad[0]:
            column = scale.float().unsqueeze(-1) if scale.dim() == 1 else scale.float().transpose(-1, -2)
            mean = product @ column / x.shape[-1]
            del product
            dx = (grad * scale).mul_(inverse).addcmul_(wide, mean * inverse.pow(3), value=-1).to(x.dtype)
        return dx, ds, None


def _like(grad: Tensor, scale: Tensor) -> Tensor:
    return grad.sum_to_size(scale.shape).to(scale.dtype)
