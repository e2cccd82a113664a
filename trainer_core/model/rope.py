"""Rotary position tables of NewBie's transformer: three axes, interleaved pairs.

Axis 0 counts caption tokens; axes 1 and 2 are the row and column of an image patch. A caption token i sits at
(i, 0, 0); every image token of a caption of length L at (L, row, column).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

THETA = 10000.0


def rope_table(positions: Tensor, axes_dims: Sequence[int]) -> Tensor:
    """Cosine and sine per token and pair, fp32 [batch, tokens, 1, head_dim / 2, 2].

    Of integer `positions` [batch, tokens, 3]; computed in float64 as the base's tables were.
    """
    angles = []
    for axis, width in enumerate(axes_dims):
        exponents = torch.arange(0, width, 2, dtype=torch.float64, device=positions.device) / width
        angles.append(positions[..., axis, None].to(torch.float64) * THETA**-exponents)
    angle = torch.cat(angles, dim=-1).unsqueeze(-2)
    return torch.stack((angle.cos(), angle.sin()), dim=-1).float()


def apply_rope(x: Tensor, rope: Tensor) -> Tensor:
    """Rotate consecutive pairs of the last axis of x [batch, tokens, heads, head_dim] by a `rope_table`.

    fp32 inside, x's dtype out.
    """
    if torch.compiler.is_compiling():
        return _apply_real(x, rope)
    # One pass over memory as a complex product, seven as the four real ones.
    pairs = torch.view_as_complex(x.float().unflatten(-1, (-1, 2)))
    turned = pairs * torch.view_as_complex(rope)
    return torch.view_as_real(turned).flatten(-2).to(x.dtype)


def _apply_real(x: Tensor, rope: Tensor) -> Tensor:
    """The same in real numbers, which a compiler makes one pass of; it leaves complex ones as they are."""
    cosine, sine = rope.unbind(-1)
    first, second = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    turned = (first * cosine - second * sine, first * sine + second * cosine)
    return torch.stack(turned, dim=-1).flatten(-2).to(x.dtype)


def caption_positions(batch: int, tokens: int, device: torch.device) -> Tensor:
    """[batch, tokens, 3]: (i, 0, 0)."""
    positions = torch.zeros(batch, tokens, 3, dtype=torch.int64, device=device)
    positions[..., 0] = torch.arange(tokens, device=device)
    return positions


def image_positions(caption_lengths: Tensor, rows: int, columns: int) -> Tensor:
    """[batch, rows * columns, 3]: (that sample's caption length, row, column), row-major."""
    device = caption_lengths.device
    positions = torch.empty(len(caption_lengths), rows, columns, 3, dtype=torch.int64, device=device)
    positions[..., 0] = caption_lengths.view(-1, 1, 1)
    positions[..., 1] = torch.arange(rows, device=device).view(1, -1, 1)
    positions[..., 2] = torch.arange(columns, device=device).view(1, 1, -1)
    return positions.flatten(1, 2)
