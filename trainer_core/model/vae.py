"""The picture codec: diffusers' AutoencoderKL with the scaling and shift of its own config."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.model.attention import before_ampere
from trainer_core.model.light_imports import without_bitsandbytes
from trainer_core.model.vae_names import VaeNames, vae_config
from trainer_core.model.vae_strips import in_strips
from trainer_core.model.weights import load_strict, open_tensors
from trainer_core.planning.part_configs import stated_vae_config
from trainer_core.planning.vae_constants import vae_constants

with without_bitsandbytes("diffusers"):
    from diffusers import AutoencoderKL


class LatentCodec:
    """Pixels to latents and back; made by `load_vae` around an AutoencoderKL.

    It has that model compute large pictures in strips: the same numbers but for rounding, in about half of the memory.
    """

    def __init__(self, model: Any, *, scaling: float, shift: float) -> None:
        in_strips(model)
        self.model = model
        self.scaling = scaling
        self.shift = shift

    @property
    def channels(self) -> int:
        """Latent channels (16 for NewBie)."""
        return int(self.model.config.latent_channels)

    @property
    def downscale(self) -> int:
        """Pixels per latent cell along one side (8 for NewBie)."""
        return int(2 ** (len(self.model.config.block_out_channels) - 1))

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> float32 [B, C, H/8, W/8]: (mode - shift) * scaling. Deterministic."""
        height, width = pixels.shape[-2:]
        assert height % self.downscale == 0 and width % self.downscale == 0, (height, width, self.downscale)
        latents = self.model.encode(pixels.to(self._device, self._dtype)).latent_dist.mode()
        return (latents.float() - self.shift) * self.scaling

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """[B, C, h, w] -> float32 pixels [B, 3, 8h, 8w], nominally in [-1, 1], not clamped."""
        raw = latents.to(self._device).float() / self.scaling + self.shift
        pixels: Tensor = self.model.decode(raw.to(self._dtype)).sample
        return pixels.float()

    @property
    def _device(self) -> torch.device:
        device: torch.device = next(self.model.parameters()).device
        return device

    @property
    def _dtype(self) -> torch.dtype:
        dtype: torch.dtype = next(self.model.parameters()).dtype
        return dtype


def image_to_tensor(image: Image.Image) -> Tensor:
    """RGB picture -> [3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1.0


def tensor_to_image(pixels: Tensor) -> Image.Image:
    """[3, H, W] in [-1, 1] -> RGB picture."""
    values = ((pixels.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    return Image.fromarray(values.permute(1, 2, 0).cpu().numpy())


def vae_dtype(device: torch.device) -> torch.dtype:
    """bf16 on GPUs that compute it, else fp32.

    Before Ampere bf16 is emulated: convolutions without cuDNN, and attention with all its scores in memory, 2.6 GiB for
    a picture of 1024 px. fp16 is no way out, for this VAE's activations overflow in it.
    """
    return torch.float32 if device.type == "cpu" or before_ampere(device) else torch.bfloat16


def load_vae(path: Path, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> LatentCodec:
    """Loads a diffusers VAE folder, or a single file in diffusers' or in FLUX's own naming.

    Raises UserError: "weights_missing", "weights_mismatch", and as `stated_vae_config`.
    """
    stated = stated_vae_config(path)
    with open_tensors(path) as files:
        source = VaeNames(files)
        config = vae_config(source) if stated is None else stated
        model = _empty(config, path)
        load_strict(model, source, what="VAE", dtype=dtype, device=device)
    scaling, shift = vae_constants(config, path)
    return LatentCodec(model.eval(), scaling=scaling, shift=shift)


def _empty(config: Mapping[str, Any], path: Path) -> Any:
    try:
        with torch.device("meta"):
            return AutoencoderKL(**_constructor_arguments(config))
    except (ValueError, TypeError, AttributeError, KeyError, IndexError, RuntimeError) as error:
        raise UserError(
            "config_unreadable",
            f"{path}: these sizes make no VAE: {error}",
            ["Use the config.json that came with the weights."],
        ) from error


def _constructor_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    known = inspect.signature(AutoencoderKL).parameters
    return {key: value for key, value in config.items() if key in known}
