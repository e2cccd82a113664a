"""Encoding captions and pictures, in batches and one at a time: python -m bench.encoders; prints one JSON line.

Models of the released sizes (Gemma3-4B without its last layer, Jina's text tower, FLUX's VAE) with random weights made
on the device; nothing to download. Reading and decoding files is not in the figures.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import Gemma3TextConfig, Gemma3TextModel, JinaEmbeddingsV3Config, JinaEmbeddingsV3Model

from bench.machine import machine
from trainer_core.model.jina import JinaEncoder
from trainer_core.model.vae import LatentCodec, vae_dtype
from trainer_core.planning.phases import GIB, GPU_TEXT_BATCH, gpu_image_batch
from trainer_core.training.device import pick_device
from trainer_core.training.memory import peak_bytes, release_memory, reset_peak
from trainer_core.training.metering import seconds_of


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Of the three encoders, and of what they are given: tokens of a caption, pixels of a picture's side."""

    gemma: Mapping[str, Any]
    jina: Mapping[str, Any]
    channels: tuple[int, ...]
    layers: int
    tokens: int
    side: int


FULL = Sizes(
    gemma={
        "vocab_size": 262_208, "hidden_size": 2560, "intermediate_size": 10_240, "num_hidden_layers": 33,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
    },
    jina={
        "vocab_size": 250_002, "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
        "num_attention_heads": 16,
    },
    channels=(128, 256, 512, 512), layers=2, tokens=256, side=1024,
)  # fmt: skip
TINY = Sizes(
    gemma={
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32,
    },
    jina={
        "vocab_size": 512, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 1,
    },
    channels=(16, 32, 32, 32), layers=1, tokens=32, side=64,
)  # fmt: skip


def build(make: Callable[[], nn.Module], device: torch.device, dtype: torch.dtype | None = None) -> Any:
    """Random weights straight on the device, in the text encoders' number format there unless another is given."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype or (torch.bfloat16 if device.type == "cuda" else torch.float32))
    try:
        with device:
            return make().eval()
    finally:
        torch.set_default_dtype(before)


def gemma(sizes: Sizes, device: torch.device) -> Callable[[int], object]:
    config = Gemma3TextConfig(**sizes.gemma)
    config._attn_implementation = "sdpa"
    model = build(lambda: Gemma3TextModel(config), device)
    return lambda batch: model(**_tokens(sizes, batch, device), use_cache=False)


def jina(sizes: Sizes, device: torch.device) -> Callable[[int], object]:
    config = JinaEmbeddingsV3Config(**sizes.jina)
    config._attn_implementation = "sdpa"
    encoder = JinaEncoder(build(lambda: JinaEmbeddingsV3Model(config, add_pooling_layer=False), device), None)
    return lambda batch: encoder.encode_ids(*_tokens(sizes, batch, device).values())


def vae(sizes: Sizes, device: torch.device) -> Callable[[int], object]:
    stages = len(sizes.channels)
    model = build(
        lambda: AutoencoderKL(
            block_out_channels=sizes.channels, layers_per_block=sizes.layers, latent_channels=16, norm_num_groups=8,
            down_block_types=["DownEncoderBlock2D"] * stages, up_block_types=["UpDecoderBlock2D"] * stages,
        ),
        device, vae_dtype(device),
    )  # fmt: skip
    codec = LatentCodec(model, scaling=1.0, shift=0.0)
    return lambda batch: codec.encode(torch.rand(batch, 3, sizes.side, sizes.side, device=device))


def _tokens(sizes: Sizes, batch: int, device: torch.device) -> dict[str, Tensor]:
    """Captions of full length: no padding flatters the batches."""
    shape = (batch, sizes.tokens)
    ids = torch.randint(3, 500, shape, device=device)
    return {"input_ids": ids, "attention_mask": torch.ones(shape, dtype=torch.long, device=device)}


@torch.no_grad()
def speed(encode: Callable[[int], object], batch: int, device: torch.device, *, repeats: int) -> float:
    """Items a second in batches of that size, the best of the repeats; the first batch is not timed."""
    encode(batch)
    return max(batch / seconds_of(lambda: encode(batch), device) for _ in range(repeats))


def measure(sizes: Sizes, device: torch.device, repeats: int) -> dict[str, Any]:
    pictures = gpu_image_batch(sizes.side, sizes.side, vae_dtype(device).itemsize)
    found: dict[str, Any] = {}
    for name, make, batch in (("gemma", gemma, GPU_TEXT_BATCH), ("jina", jina, GPU_TEXT_BATCH), ("vae", vae, pictures)):
        reset_peak(device)
        encode = make(sizes, device)
        single = speed(encode, 1, device, repeats=repeats)
        batched = speed(encode, batch, device, repeats=repeats)
        found[name] = {"batch": batch, "single_per_s": single, "batched_per_s": batched, "gain": batched / single}
        if peak := peak_bytes(device):
            found[name]["peak_gib"] = peak / GIB
        del encode
        release_memory()
    return {**found, "tokens": sizes.tokens, "side": sizes.side, "machine": machine(device)}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.encoders", description=__doc__)
    parser.add_argument("--size", choices=("full", "tiny"), default="full")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")
    sizes = FULL if options.size == "full" else TINY
    print(json.dumps(measure(sizes, pick_device(options.device), options.repeats)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
