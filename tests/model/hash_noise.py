"""The reproducible noise that the reference figures were made from."""

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn


def hash_noise(name: str, shape: Sequence[int], mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Uniform noise of the given mean and standard deviation, hashed from (index + crc32(name)), fp32."""
    x = np.arange(int(np.prod(shape)), dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()))
    x &= np.uint64(0xFFFFFFFF)
    for _ in range(2):
        x = ((x ^ (x >> np.uint64(16))) * np.uint64(0x45D9F3B)) & np.uint64(0xFFFFFFFF)
    x ^= x >> np.uint64(16)
    uniform = (x.astype(np.float64) + 0.5) / 2**32
    return torch.from_numpy((mean + std * np.sqrt(12) * (uniform - 0.5)).astype(np.float32)).reshape(tuple(shape))


def fill(module: nn.Module) -> None:
    """Give every parameter its reference value."""
    with torch.no_grad():
        for name, value in module.named_parameters():
            if value.dim() == 1:
                value.copy_(hash_noise(name, value.shape, 1.0 if name.endswith("weight") else 0.0, 0.2))
            else:
                value.copy_(hash_noise(name, value.shape, 0.0, value.shape[1] ** -0.5))
