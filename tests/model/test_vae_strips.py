"""Large pictures in strips: the same latents and pixels as in one piece."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL

from trainer_core.model.vae_strips import in_strips


def codec() -> Any:
    torch.manual_seed(0)
    return AutoencoderKL(
        latent_channels=16, block_out_channels=(8, 16, 16), layers_per_block=1, norm_num_groups=4,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
    ).eval()  # fmt: skip


@pytest.fixture
def pixels() -> torch.Tensor:
    """Two pictures, one far from zero: moments that were merged badly would show."""
    torch.manual_seed(1)
    return torch.randn(2, 3, 40, 72) + torch.tensor([0.0, 30.0])[:, None, None, None]


def encoded(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model.encode(pixels).latent_dist.mode()


def decoded(model: Any, pixels: torch.Tensor) -> torch.Tensor:
    return model.decode(encoded(codec(), pixels)).sample


@pytest.mark.parametrize("strip", [1, 5_000, 13_000, 10**6], ids=["least", "few", "uneven", "one"])
@pytest.mark.parametrize("compute", [encoded, decoded])
@torch.no_grad()
def test_strips_give_the_numbers_of_the_whole(compute: Callable[..., torch.Tensor], strip: int, pixels: torch.Tensor):
    before, striped = pixels.clone(), codec()
    in_strips(striped, large=100, strip=strip)
    torch.testing.assert_close(compute(striped, pixels), compute(codec(), pixels), rtol=1e-4, atol=2e-5)
    assert torch.equal(pixels, before)


@torch.no_grad()
def test_in_bfloat16_they_are_as_near_to_the_exact_ones(pixels: torch.Tensor):
    exact, whole, striped = encoded(codec(), pixels), codec().bfloat16(), codec().bfloat16()
    in_strips(striped, large=100, strip=5_000)
    errors = [(encoded(model, pixels.bfloat16()).float() - exact).norm() for model in (whole, striped)]
    assert errors[1] < 1.2 * errors[0] < 0.1 * exact.norm()


@torch.no_grad()
def test_small_pictures_keep_their_bits(pixels: torch.Tensor):
    striped = codec()
    in_strips(striped)
    assert torch.equal(decoded(striped, pixels), decoded(codec(), pixels))


@torch.no_grad()
def test_a_model_goes_with_its_last_reference(pixels: torch.Tensor):
    """Each phase gives back its memory at once: nothing waits for a collection."""
    striped = codec()
    in_strips(striped, large=100, strip=5_000)
    encoded(striped, pixels)
    gone = weakref.ref(striped.encoder.down_blocks[0].resnets[0])
    gc.disable()
    try:
        del striped
        assert gone() is None
    finally:
        gc.enable()
