"""Linear layers with LoRA or LoKr beside the frozen weight, added while its last product is computed."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from trainer_core.model.fused import dropout_branch
from trainer_core.model.light_imports import without_bitsandbytes

with without_bitsandbytes("peft"):
    from peft.tuners.lora.layer import Linear as PeftLinear

ADAPTER = "default"
# Rows of a layer's input in one batched product: with more than 65,535 of them cuBLAS has failed and miscounted
# (pytorch/pytorch#25241).
ROWS = 1 << 15


class LoraLinear(PeftLinear):
    """PEFT's LoRA on a linear layer: W x + scale B (A x), the second product added while it is computed.

    PEFT's own forward scales and adds in passes of their own over the layer's output, both ways.
    """

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        if self.disable_adapters or self.merged or args or kwargs:
            return super().forward(x, *args, **kwargs)
        down, up = self.lora_A[ADAPTER], self.lora_B[ADAPTER].weight
        rows, dropped = _branches(x.flatten(0, -2), self.lora_dropout[ADAPTER])
        out = self.base_layer(rows)
        low = down(dropped)
        # In place: nobody else has seen it, and no gradient needs it.
        out.addmm_(low.to(out.dtype), up.t().to(out.dtype), alpha=self.scaling[ADAPTER])
        return out.unflatten(0, x.shape[:-1])


class LokrLinear(nn.Module):
    """W x + scale (w1 (x) w2) x with the Kronecker product (x), which is never formed; w2 may be a product w2_a w2_b.

    shapes: of the factors by name, as `planning.adapter.LokrShape` gives them for the layer. They are fp32, and zero.
    scale: alpha / rank; not applied where w2 is whole.
    """

    def __init__(self, base_layer: nn.Linear, shapes: Mapping[str, tuple[int, int]], *, scale: float, dropout: float):
        super().__init__()
        self.base_layer = base_layer
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.scale = 1.0 if "lokr_w2" in shapes else scale
        self.device = next(tensor.device for tensor in (*base_layer.parameters(), *base_layer.buffers()))
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.zeros(shape, device=self.device)))

    def forward(self, x: Tensor) -> Tensor:
        rows, dropped = _branches(x.flatten(0, -2), self.dropout)
        out = self.base_layer(rows)
        small, large = self.get_parameter("lokr_w1"), self._large_factor()
        out = _added(out, dropped.to(out.dtype), small.to(out.dtype), large.to(out.dtype), self.scale)
        return out.unflatten(0, x.shape[:-1])

    def _large_factor(self) -> Tensor:
        whole = self._parameters.get("lokr_w2")
        if whole is not None:
            return whole
        # In fp32: it costs next to nothing, and autocast would keep copies of both halves.
        with torch.autocast(self.device.type, enabled=False):
            return self.get_parameter("lokr_w2_a") @ self.get_parameter("lokr_w2_b")


def _branches(rows: Tensor, dropout: nn.Module) -> tuple[Tensor, Tensor]:
    """A layer's input [rows, in] for the base, and for the adapter."""
    if isinstance(dropout, nn.Dropout) and dropout.training:
        fused = dropout_branch(rows, dropout.p)
        if fused is not None:
            return fused
    return rows, dropout(rows)


def _added(out: Tensor, x: Tensor, w1: Tensor, w2: Tensor, scale: float) -> Tensor:
    """out [rows, l k] + scale (w1 (x) w2) x [rows, m n] of w1 [l, m] and w2 [k, n], all in one number format."""
    if torch.compiler.is_compiling():
        return out + scale * (_spread(w1, _split(x, w1)) @ w2.t()).view_as(out)
    added: Tensor = _AddKronecker.apply(out, x, w1, w2, scale)
    return added


def _split(x: Tensor, w1: Tensor) -> Tensor:
    """[rows, m, n] of x [rows, m n]."""
    return x.unflatten(-1, (w1.shape[1], -1))


def _spread(w1: Tensor, x: Tensor) -> Tensor:
    """(w1 (x) 1) x: [rows, l, n] of x [rows, m, n]."""
    # `matmul` would turn x round and the result back, which are two copies of it.
    return torch.bmm(w1.expand(len(x), -1, -1), x)


class _AddKronecker(torch.autograd.Function):
    """In place. Keeps x, where autograd would keep what w1 makes of it as well, which is as large."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, x: Tensor, w1: Tensor, w2: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(x, w1, w2)
        ctx.scale = scale
        ctx.mark_dirty(out)
        for rows, given in zip(out.split(ROWS), x.split(ROWS), strict=True):
            spread = _spread(w1, _split(given, w1)).flatten(0, 1)
            rows.view(-1, len(w2)).addmm_(spread, w2.t(), alpha=scale)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, w1, w2 = ctx.saved_tensors
        dx: list[Tensor] = []
        dw1: list[Tensor] = []
        dw2: list[Tensor] = []
        for rows, given in zip(grad.split(ROWS), x.split(ROWS), strict=True):
            parts, inner = _split(given, w1), rows.reshape(-1, len(w2))
            dw2.append((inner.t() @ _spread(w1, parts).flatten(0, 1)).mul_(ctx.scale))
            spread = (inner @ w2).mul_(ctx.scale).view(len(parts), len(w1), -1)
            # [l, m] of every row of x, summed in fp32.
            dw1.append(torch.bmm(spread, parts.mT).sum(dim=0, dtype=torch.float32))
            if ctx.needs_input_grad[1]:
                dx.append(_spread(w1.t(), spread).flatten(1))
        return grad, _joined(dx), _summed(dw1, w1), _summed(dw2, w2), None


def _joined(pieces: list[Tensor]) -> Tensor | None:
    """One is not copied."""
    if not pieces:
        return None
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _summed(pieces: list[Tensor], like: Tensor) -> Tensor:
    whole = pieces[0] if len(pieces) == 1 else torch.stack(pieces).sum(dim=0, dtype=torch.float32)
    return whole.to(like.dtype)
