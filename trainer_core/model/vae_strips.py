"""The VAE on large pictures, in strips of rows: the same numbers in half of the memory.

Tiles, diffusers' own way to save memory, normalise each tile by itself, which moves latents by a tenth. Here the
moments of a GroupNorm are those of the whole map, and a strip of a 3 x 3 convolution gets the row above and below it.
So beside the maps that a layer reads and writes only a strip's temporaries are alive; a residual block adds to the map
that it was given. Inference only.
"""

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer_core.model.light_imports import without_bitsandbytes
from trainer_core.planning.codec_memory import LARGE_MAP, STRIP

with without_bitsandbytes("diffusers"):
    from diffusers.models.downsampling import Downsample2D
    from diffusers.models.resnet import ResnetBlock2D
    from diffusers.models.upsampling import Upsample2D


def in_strips(model: nn.Module, *, large: int = LARGE_MAP, strip: int = STRIP) -> None:
    """Let the AutoencoderKL `model` compute maps of more than `large` numbers in strips of about `strip` numbers.

    Smaller maps go diffusers' own way. A block that was given a map in strips has overwritten it.
    """
    for module in model.modules():
        kind = _KINDS.get(type(module))
        if kind is not None:
            # Not a function put into the module: one that knows its module would keep the model until a collection.
            module.__class__ = kind
            module.large, module.strip = large, strip  # type: ignore[assignment]


class _InStrips:
    """What becomes of a diffusers layer: its own forward for small maps, `compute` for large ones."""

    large: int
    strip: int
    growth = 1
    """How many numbers come of each one that goes in."""
    compute: Callable[[Tensor, int], Tensor]
    """Of a map and the rows of a strip of it."""

    def forward(self, x: Tensor, *rest: Any, **named: Any) -> Any:
        if x.numel() * self.growth <= self.large:
            return super().forward(x, *rest, **named)  # type: ignore[misc]
        return self.compute(x, max(2, self.strip * x.shape[2] // x.numel()))


class _Residual(_InStrips, ResnetBlock2D):
    def compute(self, x: Tensor, rows: int) -> Tensor:
        first = _normed_conv(self.norm1, self.nonlinearity, self.conv1, x, rows)
        kept = x if self.conv_shortcut is None else self.conv_shortcut(x)
        return _normed_conv(self.norm2, self.nonlinearity, self.conv2, first, rows, onto=kept)


class _Doubled(_InStrips, Upsample2D):
    """Each number becomes four, then a convolution."""

    growth = 4

    def compute(self, x: Tensor, rows: int) -> Tensor:
        batch, _, height, width = x.shape
        result = x.new_empty(batch, self.out_channels, 2 * height, 2 * width)
        for start, stop in _strips(height, max(1, rows // 4)):
            above, below = start == 0, stop == height
            part = x[:, :, start - (not above) : stop + 1].repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            # Of the rows around a strip only the nearer half.
            part = part[:, :, int(not above) : part.shape[2] - int(not below)]
            result[:, :, 2 * start : 2 * stop] = _rows_convolved(self.conv, part, above=above, below=below)
        return result


class _Halved(_InStrips, Downsample2D):
    """A convolution of every second row and column; a row and a column of zeros at the far ends."""

    def compute(self, x: Tensor, rows: int) -> Tensor:
        batch, _, height, width = x.shape
        result = x.new_empty(batch, self.out_channels, height // 2, width // 2)
        for start, stop in _strips(height // 2, max(1, rows // 2)):
            part = x[:, :, 2 * start : 2 * stop + 1]
            part = F.pad(part, (0, 1, 0, 2 * (stop - start) + 1 - part.shape[2]))
            result[:, :, start:stop] = F.conv2d(part, self.conv.weight, self.conv.bias, stride=2)
        return result


def _normed_conv(
    norm: nn.GroupNorm,
    activate: Callable[[Tensor], Tensor],
    conv: nn.Conv2d,
    x: Tensor,
    rows: int,
    onto: Tensor | None = None,
) -> Tensor:
    """conv(activate(norm(x))): [B, C, H, W] -> [B, C', H, W], added to `onto` where there is one."""
    moments = _moments(norm, x, rows)
    result = x.new_empty(x.shape[0], conv.out_channels, *x.shape[2:]) if onto is None else onto
    for start, stop in _strips(x.shape[2], rows):
        part = activate(_normalised(norm, x[:, :, max(0, start - 1) : stop + 1], moments))
        made = _rows_convolved(conv, part, above=start == 0, below=stop == x.shape[2])
        if onto is None:
            result[:, :, start:stop] = made
        else:
            result[:, :, start:stop] += made
    return result


def _moments(norm: nn.GroupNorm, x: Tensor, rows: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of each group of the whole x, [B * C] fp32; merged as Chan, Golub and LeVeque (1979) do."""
    batch, channels = x.shape[:2]
    count, mean, squares = 0, x.new_zeros((), dtype=torch.float32), x.new_zeros((), dtype=torch.float32)
    for start, stop in _strips(x.shape[2], rows):
        part = x[:, :, start:stop].reshape(batch, norm.num_groups, -1).float()
        variance, own = torch.var_mean(part, dim=-1, correction=0)
        size, off = part.shape[-1], own - mean
        squares = squares + variance * size + off.square() * (count * size / (count + size))
        mean, count = mean + off * (size / (count + size)), count + size
    mean, variance = (
        each.repeat_interleave(channels // norm.num_groups, dim=1).flatten() for each in (mean, squares / count)
    )
    return mean, variance


def _normalised(norm: nn.GroupNorm, part: Tensor, moments: tuple[Tensor, Tensor]) -> Tensor:
    """A batch norm that is told its moments, with each channel of each sample for a channel: one pass, rounded once."""
    batch, channels = part.shape[:2]
    weight, bias = (each.float().repeat(batch) for each in (norm.weight, norm.bias))
    rows = part.reshape(1, batch * channels, *part.shape[2:])
    return F.batch_norm(rows, *moments, weight, bias, eps=norm.eps).reshape(part.shape)


def _rows_convolved(conv: nn.Conv2d, part: Tensor, *, above: bool, below: bool) -> Tensor:
    """A 3 x 3 convolution of a strip that holds its neighbours' rows, but at the map's ends, where zeros are."""
    if above or below:
        part = F.pad(part, (0, 0, int(above), int(below)))
    return F.conv2d(part, conv.weight, conv.bias, padding=(0, 1))


def _strips(height: int, rows: int) -> Iterator[tuple[int, int]]:
    """(first row, the one after the last) of each strip."""
    return ((start, min(start + rows, height)) for start in range(0, height, rows))


_KINDS: Mapping[type, type] = MappingProxyType({ResnetBlock2D: _Residual, Downsample2D: _Halved, Upsample2D: _Doubled})
