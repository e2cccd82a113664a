"""Trains the toy VAE: 16 latent channels at an eighth of the side, like FLUX's, but with 0.9 M parameters."""

import random
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from trainer_core.model.vae import image_to_tensor
from trainer_core.tools.tiny.stage import Stage, run_stage
from trainer_core.tools.tiny.world import EYES, Portrait, all_portraits, draw, is_held_out, scribble

STAGE = Stage(name="vae", steps=2200, learning_rate=2e-3)
BATCH = 8
KL_WEIGHT = 5e-4
SCRIBBLE_SHARE = 0.2
CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 16,
    "block_out_channels": (16, 32, 48, 64),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "sample_size": 128,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


def drawable() -> list[Portrait]:
    """The combinations that the VAE may see."""
    return [portrait for portrait in all_portraits(EYES) if not is_held_out(portrait)]


def picture_batch(portraits: list[Portrait], seed: int, step: int) -> Tensor:
    """[BATCH, 3, 128, 128]: portraits and scribbles of this step."""
    rng = random.Random(f"vae:{seed}:{step}")
    images = [
        scribble(rng.getrandbits(32))
        if rng.random() < SCRIBBLE_SHARE
        else draw(rng.choice(portraits), rng.getrandbits(32))
        for _ in range(BATCH)
    ]
    return torch.stack([image_to_tensor(image) for image in images])


def train_vae(seed: int, work: Path) -> AutoencoderKL:
    """Train or resume; the returned VAE's config carries the measured scaling and shift factors."""
    torch.manual_seed(seed)
    vae = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)
    portraits = drawable()

    def loss(step: int) -> Tensor:
        images = picture_batch(portraits, seed, step).to(memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = vae.encode(images).latent_dist
            decoded = vae.decode(posterior.sample(generator)).sample
        error = decoded.float() - images
        return error.abs().mean() + error.square().mean() + KL_WEIGHT * posterior.kl().mean() / 256 / 16

    weights = run_stage(STAGE, vae, loss, work)
    vae.load_state_dict(weights)
    vae.eval()
    _set_latent_statistics(vae, portraits, seed)
    return vae


@torch.no_grad()
def _set_latent_statistics(vae: AutoencoderKL, portraits: list[Portrait], seed: int) -> None:
    """Shift = mean, scale = 1 / standard deviation of the latents of 256 drawings, as FLUX's VAE states its own."""
    latents = torch.cat([vae.encode(picture_batch(portraits, seed + 1, step)).latent_dist.mode() for step in range(32)])
    vae.register_to_config(
        shift_factor=round(latents.mean().item(), 6), scaling_factor=round(1.0 / latents.std().item(), 6)
    )
