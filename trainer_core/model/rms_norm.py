"""Root-mean-square norm with a scale, in few passes over memory and with little kept for the backward pass."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from trainer_core.model.fused import kernels_for


def rms_norm(
    x: Tensor,
    weight: Tensor,
    eps: float,
    *,
    scale: Tensor | None = None,
    gate: Tensor | None = None,
    onto: Tensor | None = None,
) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight over the last axis, modulated, plus `onto`; fp32 inside, x's dtype out.

    Autograd would keep x, the quotient and one product for each factor; this keeps x and one number a row. Backward,
    with r the inverse root and s all factors: dx = r s g - x r^3 mean(g s x), ds = sum(g x r).

    Args:
        x: [..., D].
        weight: [D].
        scale, gate: at most one, [B, 1, D] for x [B, T, D]. The norm is multiplied by 1 + scale, or tanh(gate).
        onto: of x's shape.
    """
    compiling = torch.compiler.is_compiling()
    if not compiling and not weight.requires_grad and kernels_for(x) is not None:
        mode = "scale" if scale is not None else "gate" if gate is not None else ""
        fused: Tensor = _FusedRmsNorm.apply(x, weight, scale if gate is None else gate, onto, (mode, eps))
        return fused
    if scale is not None:
        weight = weight * (1 + scale)
    elif gate is not None:
        weight = weight * gate.tanh()
    if compiling:
        # A compiler fuses the plain formula, and decides itself what is kept.
        wide = x.float()
        normed = (wide * torch.rsqrt(wide.square().mean(dim=-1, keepdim=True) + eps) * weight).to(x.dtype)
    else:
        normed = _RmsNorm.apply(x, weight, eps)
    return normed if onto is None else onto + normed


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


class _FusedRmsNorm(torch.autograd.Function):
    """The same by the Triton kernels, modulation and sum included."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, modulation: Tensor | None, onto: Tensor | None, how: tuple[str, float]
    ) -> Tensor:
        kernels = kernels_for(x)
        assert kernels is not None
        mode, eps = how
        x, onto = x.contiguous(), onto if onto is None else onto.contiguous()
        normed: Tensor
        normed, inverse = kernels.rms_forward(x, kernels.Factors(weight, modulation, mode), eps, onto)
        ctx.save_for_backward(x, weight, modulation, inverse)
        ctx.mode = mode
        return normed

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, modulation, inverse = ctx.saved_tensors
        kernels = kernels_for(x)
        assert kernels is not None
        factors = kernels.Factors(weight, modulation, ctx.mode)
        dx, dm = kernels.rms_backward(grad.contiguous(), x, factors, inverse, of_modulation=ctx.needs_input_grad[2])
        return dx, None, dm, grad if ctx.needs_input_grad[3] else None, None
