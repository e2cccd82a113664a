"""Whether the Triton kernels run here, and what of a block uses them beside its norms: heads and gate.

Nothing has to be installed or set for them: where they cannot run, the same is computed by PyTorch's own operations.
"""

import subprocess
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from trainer_core.contracts.errors import is_gpu_memory

FORMATS = (torch.bfloat16, torch.float16, torch.float32)


def kernels_for(x: Tensor) -> ModuleType | None:
    """The module `kernels` if they take `x`, which must lie on a card; else None."""
    if not x.is_cuda or x.dtype not in FORMATS:
        return None
    return _trial(x.dtype)[0]


def kernels_problem() -> str:
    """Why the kernels do not run on this machine's card in some format, as the end of a sentence; empty if they do."""
    if not torch.cuda.is_available():
        return "need an NVIDIA GPU"
    return next((problem for dtype in FORMATS if (problem := _trial(dtype)[1])), "")


@cache
def _trial(dtype: torch.dtype) -> tuple[ModuleType | None, str]:
    """The kernels, once they have run in `dtype`: Triton compiles them on the spot, for each format anew, which takes a
    driver and a C compiler."""
    try:
        from triton.errors import TritonError
    except ImportError:
        return None, "need the package triton, which PyTorch brings along on Linux"
    try:
        from trainer_core.model import kernels

        try_out(kernels, torch.device("cuda"), dtype)
    except (ImportError, OSError, RuntimeError, subprocess.SubprocessError, TritonError) as error:
        # The graphics memory may be full, which says nothing about the kernels.
        if is_gpu_memory(error):
            raise
        first = next((line.strip() for line in str(error).splitlines() if line.strip()), repr(error))
        return None, f"failed here ({first})"
    return kernels, ""


def try_out(kernels: ModuleType, device: torch.device, dtype: torch.dtype) -> None:
    """Run each kernel on a few numbers. Raises RuntimeError where one is off, and whatever Triton raises."""
    a, b = (torch.linspace(start, 2, 64, device=device).sin().view(2, 2, 16).to(dtype) for start in (-2, -1))
    weight = torch.linspace(1, 2, 16, device=device).to(dtype)
    scale = torch.linspace(-1, 2, 32, device=device).view(2, 1, 16).to(dtype)
    scaled = kernels.Factors(weight, scale, "scale")
    y, inverse = kernels.rms_forward(a, scaled, 1e-5, b)
    dx, dm = kernels.rms_backward(b, a, scaled, inverse, of_modulation=True)
    gated, (da, db) = kernels.gate_forward(a, b), kernels.gate_backward(b, a, b)
    unturned = torch.tensor((1.0, 0.0), device=device).expand(2, 2, 1, 8, 2).contiguous()
    qkv, head = torch.cat((a, a, b), dim=-1), (weight, weight)
    q, k = kernels.heads_forward(qkv, head, unturned, (1, 1), 1e-5)
    back = kernels.heads_backward((q, k, b.unsqueeze(2)), qkv, head, unturned, ((1, 1), 1e-5))
    # From the same numbers in fp32, in which kernels compute too: only the results are rounded.
    x, z = a.float(), b.float()
    normed = x * (x.square().mean(-1, keepdim=True) + 1e-5).rsqrt() * weight.float()
    wanted = (
        (q.squeeze(2), normed),
        (back[..., 32:], z),
        (kernels.masked_sum(a, b, a > 0, 2.0), x + 2 * z * (x > 0)),
        (y, normed * (1 + scale.float()) + z),
        (dm, (z * normed).sum(dim=1, keepdim=True)),
        (gated, F.silu(x) * z),
        (db, F.silu(x) * z),
    )
    near = max(1e-4, torch.finfo(dtype).eps)
    if not all(torch.allclose(one.float(), other, rtol=near, atol=near) for one, other in wanted):
        raise RuntimeError("its results differ from PyTorch's")
    if not all(torch.isfinite(one).all() for one in (dx, da, back)):
        raise RuntimeError("it gives no numbers")


def gate(a: Tensor, b: Tensor) -> Tensor:
    """silu(a) * b of two equal shapes; keeps the two, where autograd would keep silu(a) as well."""
    if torch.compiler.is_compiling():
        return F.silu(a) * b
    gated: Tensor = _Gate.apply(a, b)
    return gated


class _Gate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        kernels = kernels_for(a)
        if kernels:
            out: Tensor = kernels.gate_forward(a.contiguous(), b.contiguous())
            return out
        return F.silu(a).mul_(b)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        a, b = ctx.saved_tensors
        kernels = kernels_for(a)
        if kernels:
            da, db = kernels.gate_backward(grad.contiguous(), a.contiguous(), b.contiguous())
            return da, db
        return torch.ops.aten.silu_backward(grad * b, a), F.silu(a).mul_(grad)


def heads(
    qkv: Tensor, weights: tuple[Tensor, Tensor], table: Tensor, counts: tuple[int, int], eps: float
) -> tuple[Tensor, Tensor, Tensor] | None:
    """q [B, T, H, D], k and v [B, T, Hkv, D] of qkv [B, T, (H + 2 Hkv) D]: q and k normed per head, then rotated.

    None where the kernels do not run, or the norms' weights are trained.
    """
    trained = any(weight.requires_grad for weight in weights)
    if torch.compiler.is_compiling() or trained or kernels_for(qkv) is None or not qkv.is_contiguous():
        return None
    q, k, v = _Heads.apply(qkv, weights, table.contiguous(), counts, eps)
    return q, k, v


class _Heads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, qkv: Tensor, weights: tuple[Tensor, Tensor], table: Tensor, counts: tuple[int, int], eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        kernels = kernels_for(qkv)
        assert kernels is not None
        ctx.save_for_backward(qkv, *weights, table)
        ctx.counts, ctx.eps = counts, eps
        q, k = kernels.heads_forward(qkv, weights, table, counts, eps)
        # A view: to copy it would cost as much as the norms.
        v = qkv.unflatten(-1, (-1, weights[0].numel()))[:, :, sum(counts) :]
        return q, k, v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dq: Tensor, dk: Tensor, dv: Tensor) -> tuple[Tensor | None, ...]:
        qkv, *weights, table = ctx.saved_tensors
        kernels = kernels_for(qkv)
        assert kernels is not None
        grad = kernels.heads_backward((dq, dk, dv), qkv, tuple(weights), table, (ctx.counts, ctx.eps))
        return grad, None, None, None, None


def dropout_branch(x: Tensor, p: float) -> tuple[Tensor, Tensor] | None:
    """x itself and dropout(x), for a branch beside the main way; their gradients are added as they are masked.

    None where the kernels do not run. Draws what PyTorch's dropout draws on a card.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled() or kernels_for(x) is None:
        return None
    same, dropped = _DropoutBranch.apply(x, p)
    return same, dropped


class _DropoutBranch(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, p: float) -> tuple[Tensor, Tensor]:
        dropped, kept = torch.native_dropout(x, p, True)
        ctx.factor = 1 / (1 - p)
        ctx.save_for_backward(kept)
        return x.view_as(x), dropped

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, base: Tensor, branch: Tensor) -> tuple[Tensor | None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None
        (kept,) = ctx.saved_tensors
        kernels = kernels_for(base)
        assert kernels is not None
        grad: Tensor = kernels.masked_sum(base.contiguous(), branch.contiguous(), kept, ctx.factor)
        return grad, None
