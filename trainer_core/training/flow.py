"""Rectified flow as NewBie's base was trained: x_t = t * data + (1 - t) * noise, target velocity data - noise."""

import math

import torch
from torch import Tensor

SHIFT_AT_256_TOKENS = 0.5
SHIFT_AT_4096_TOKENS = 1.15


def shift_mu(image_tokens: int) -> float:
    """mu of the time shift: linear in the image's token count, 0.5 at 256 and 1.15 at 4096, extrapolated beyond."""
    slope = (SHIFT_AT_4096_TOKENS - SHIFT_AT_256_TOKENS) / (4096 - 256)
    return SHIFT_AT_256_TOKENS + slope * (image_tokens - 256)


def shift_time(t: Tensor, mu: float) -> Tensor:
    """Push t in (0, 1) towards noise: with s = 1 - t, s' = e^mu / (e^mu + 1/s - 1) and t' = 1 - s'.

    Written as t / (t + e^mu * (1 - t)), the same function without dividing by s.
    """
    return t / (t + math.exp(mu) * (1 - t))


def draw_time(kind: str, generator: torch.Generator) -> Tensor:
    """One unshifted t: uniform on [0, 1) or the sigmoid of a normal number. Scalar fp32 on the CPU."""
    if kind == "lognorm":
        return torch.randn((), generator=generator).sigmoid()
    assert kind == "uniform", kind
    return torch.rand((), generator=generator)


def interpolate(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """x_t for data and noise [B, C, H, W] and t [B]."""
    t = t.view(-1, 1, 1, 1).to(data.dtype)
    return t * data + (1 - t) * noise


def velocity_loss(velocity: Tensor, data: Tensor, noise: Tensor) -> Tensor:
    """Mean squared error against data - noise, per sample: [B], fp32."""
    return (velocity.float() - (data - noise).float()).square().mean(dim=(1, 2, 3))
