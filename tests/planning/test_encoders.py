"""Temporaries of the encoders and the VAE against all tensors that live in a real pass."""

from typing import Any

import pytest
import torch
from live_memory import LiveMemory

from trainer_core.model.vae_strips import in_strips
from trainer_core.planning.base import BaseSizes, Codec, TextEncoder
from trainer_core.planning.codec_memory import decoder_numbers, encoder_numbers
from trainer_core.planning.phases import Phase, Workload, encoding_phases, sampling_phase
from trainer_core.planning.shapes import Dimensions, matching

BATCH, TOKENS, SIDE = 1, 256, 64
SIZES = BaseSizes(
    gemma=TextEncoder(parameters=1, hidden=256, feed_forward=1024, largest=1),
    jina=TextEncoder(parameters=1, hidden=256, feed_forward=1024, largest=1),
    vae=Codec(parameters=1, channels=32, latent_channels=16),
)
WORK = Workload(
    micro_batch=(SIDE, SIDE, 1), largest_picture=(SIDE, SIDE), caption_tokens=TOKENS, sample_size=(SIDE, SIDE)
)


def temporaries(phase: Phase) -> int:
    return next(c.bytes for c in phase.components if c.name == "temporaries")


@torch.no_grad()
def peak(call: Any, *arguments: Any, **named: Any) -> int:
    with LiveMemory() as live:
        call(*arguments, **named)
    return live.peak


def vae() -> Any:
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        latent_channels=16, block_out_channels=(32, 64, 128, 128), layers_per_block=2, norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
        use_quant_conv=False, use_post_quant_conv=False,
    ).eval()  # fmt: skip


def test_text_encoders():
    from transformers import Gemma3TextConfig, Gemma3TextModel, JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

    sizes = {"vocab_size": 300, "hidden_size": 256, "intermediate_size": 1024, "num_hidden_layers": 2}
    gemma = Gemma3TextConfig(**sizes, num_attention_heads=2, num_key_value_heads=1, head_dim=64)
    jina = JinaEmbeddingsV3Config(**sizes, num_attention_heads=4, type_vocab_size=1)
    ids, mask = torch.full((BATCH, TOKENS), 5), torch.ones(BATCH, TOKENS, dtype=torch.int64)
    planned = encoding_phases(SIZES, WORK, TOKENS, cuda=False)
    for settings, kind, phase in ((gemma, Gemma3TextModel, planned[0]), (jina, JinaEmbeddingsV3Model, planned[1])):
        settings._attn_implementation = "sdpa"
        model = kind(settings).eval()
        real = peak(model, input_ids=ids, attention_mask=mask)
        assert temporaries(phase) == pytest.approx(real, rel=0.10), phase.name


@pytest.mark.parametrize("images", [1, 2])
def test_large_pictures_in_strips(images: int):
    whole = 32 * SIDE * SIDE * images
    large, strip = whole - 1, whole // 8
    codec = vae()
    in_strips(codec, large=large, strip=strip)
    encoded = peak(codec.encode, torch.zeros(images, 3, SIDE, SIDE))
    decoded = peak(codec.decode, torch.zeros(images, 16, SIDE // 8, SIDE // 8))
    sizes = {"channels": 32, "pixels": images * SIDE * SIDE, "large": large, "strip": strip}
    assert 4 * encoder_numbers(**sizes) == pytest.approx(encoded, rel=0.10)
    assert 4 * decoder_numbers(**sizes) == pytest.approx(decoded, rel=0.10)


def test_encoding_and_decoding_pictures():
    codec, dims = vae(), Dimensions(dim=96, n_heads=4, n_kv_heads=2, n_layers=1)
    encoded = peak(codec.encode, torch.zeros(1, 3, SIDE, SIDE))
    decoded = peak(codec.decode, torch.zeros(1, 16, SIDE // 8, SIDE // 8))
    assert temporaries(encoding_phases(SIZES, WORK, 1, cuda=False)[2]) == pytest.approx(encoded, rel=0.10)
    from trainer_core.contracts.config import TrainConfig

    config = TrainConfig(base_model_path="b", train_data_dir="x", lora_rank=1)
    few = BaseSizes(transformer=dims, vae=SIZES.vae)
    work = Workload(micro_batch=WORK.micro_batch, largest_picture=(8, 8), caption_tokens=1, sample_size=(SIDE, SIDE))
    sampling = sampling_phase(config, few, matching(dims, ["attention.qkv"]), work, cuda=False)
    assert temporaries(sampling) == pytest.approx(decoded, rel=0.10)
