"""A NextDiT of a few thousand parameters with hashed weights, and inputs for it."""

from typing import Any

import torch
from torch import Tensor

from trainer_core.model.nextdit import NextDiT

CONFIG: dict[str, Any] = {
    "patch_size": 2,
    "in_channels": 4,
    "dim": 24,
    "n_layers": 2,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 1,
    "axes_dims": [4, 4, 4],
    "axes_lens": [32, 16, 16],
    "qk_norm": True,
    "cap_feat_dim": 12,
    "clip_text_dim": 10,
}
TARGETS = ["attention.qkv", "attention.out", "feed_forward.w2", "time_text_embed.1", "clip_text_pooled_proj.1"]


def tiny_model(seed: int = 0) -> NextDiT:
    torch.manual_seed(seed)
    model = NextDiT(**CONFIG)
    with torch.no_grad():
        # Some parts start at zero; nothing would depend on them.
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.2 + (parameter.dim() == 1))
    return model.eval()


def inputs(seed: int = 1, batch: int = 2) -> tuple[Tensor, Tensor, Tensor, tuple[int, ...], Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    lengths = (5,) * batch
    return draw(batch, 4, 8, 8), torch.rand(batch, generator=generator), draw(batch, 5, 12), lengths, draw(batch, 10)


def randomise(parameters: dict[str, torch.nn.Parameter], seed: int = 3) -> None:
    """Give both halves of an adapter values, so that it changes the output."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in sorted(parameters):
            parameters[name].copy_(torch.randn(parameters[name].shape, generator=generator) * 0.2)
