"""Linear layers whose frozen weight is held in 8 or 4 bits and unpacked for each use.

int8: each row w as round(w / s) with s = max|w| / 127, in plain PyTorch. nf4: bitsandbytes' 4-bit NormalFloat (QLoRA,
Dettmers et al. 2023), blocks of 64 with an fp32 scale each; its functions also run on a CPU.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer_core.model.weights import assign
from trainer_core.planning.quantised import NF4_BLOCK, is_quantised


class QuantisedLinear(nn.Linear):
    """Like a frozen `nn.Linear` of the same sizes. Its `weight` is None; what it holds is `qweight` and `scale`.

    int8: qweight [out, in], scale [out, 1]. nf4: qweight [out * in / 2, 1], scale [out * in / 64]. Scales are fp32.
    """

    qweight: Tensor
    scale: Tensor
    changed: Callable[[Tensor], Tensor] | None = None
    """What becomes of the unpacked weight before each use: a LoRA's change, which is not rounded to so few bits."""

    def __init__(self, weight: Tensor, bias: nn.Parameter | None, kind: str) -> None:
        """weight: [out, in], not kept. bias: [out], kept as it is; may be on the meta device until it is loaded."""
        nn.Module.__init__(self)
        self.out_features, self.in_features = weight.shape
        self.kind = kind
        # PEFT asks for a weight, and where there is none takes the device of `qweight`.
        self.register_parameter("weight", None)
        qweight, scale = _pack(weight.detach(), kind)
        self.register_buffer("qweight", qweight)
        self.register_buffer("scale", scale)
        self.register_parameter("bias", bias)

    def unpacked(self, dtype: torch.dtype) -> Tensor:
        """The weight [out, in]; the same bits each time."""
        if self.kind == "int8":
            weight = (self.qweight * self.scale).to(dtype)
        else:
            weight = _unpack_nf4(self.qweight, self.scale, (self.out_features, self.in_features), dtype)
        return weight if self.changed is None else self.changed(weight)

    def forward(self, input: Tensor) -> Tensor:
        device = input.device.type
        x = input.to(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else input
        product: Tensor = _FrozenProduct.apply(x, self)
        return product if self.bias is None else product + self.bias.to(product.dtype)


class _FrozenProduct(torch.autograd.Function):
    """x W^T; nothing is saved, W is unpacked again for the gradient of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: QuantisedLinear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.unpacked(x.dtype))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        [grad] = grads
        return grad @ ctx.layer.unpacked(grad.dtype), None


def quantise_blocks(model: nn.Module, kind: str) -> None:
    """Replace the linear layers of the blocks in place, one after the other; a model that is filled already."""
    for name, module in [*model.named_modules()]:
        if isinstance(module, nn.Linear) and is_quantised(name):
            model.set_submodule(name, QuantisedLinear(module.weight, module.bias, kind))


class Quantising:
    """`load_strict`'s way to put a tensor in its place: a weight of a block's linear layer goes in quantised."""

    def __init__(self, kind: str) -> None:
        self._kind = kind

    def __call__(self, module: nn.Module, name: str, tensor: Tensor) -> None:
        owner, _, leaf = name.rpartition(".")
        layer = module.get_submodule(owner)
        if leaf == "weight" and isinstance(layer, nn.Linear) and is_quantised(owner):
            module.set_submodule(owner, QuantisedLinear(tensor, layer.bias, self._kind))
        else:
            assign(module, name, tensor)


def _pack(weight: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    if kind == "int8":
        exact = weight.float()
        # A row of zeros has any scale.
        scale = (exact.abs().amax(dim=1, keepdim=True) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        return (exact / scale).round().to(torch.int8), scale
    from bitsandbytes.functional import quantize_4bit

    packed, state = quantize_4bit(weight.contiguous(), blocksize=NF4_BLOCK, quant_type="nf4", compress_statistics=False)
    return packed, state.absmax


def _unpack_nf4(packed: Tensor, scale: Tensor, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    import bitsandbytes  # noqa: F401 - what registers the operation

    # Not by `functional.dequantize_4bit`: its QuantState wants the table of values, which the operation has itself, and
    # to bring it to a card for each of hundreds of weights holds the host up each time.
    weight: Tensor = torch.ops.bitsandbytes.dequantize_4bit.default(packed, scale, NF4_BLOCK, "nf4", shape, dtype)
    return weight
