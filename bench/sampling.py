"""Seconds a sample picture takes without its decoding: python -m bench.sampling [CONFIG] [flags]; prints one JSON line.

The flags are those of bench.step (--steps: of the sampler; --warmup: of steps before they are timed).
"""

import argparse
import sys
from functools import partial
from typing import Any

import torch

from bench.machine import machine
from bench.step import build_model, run
from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.phases import GIB
from trainer_core.planning.shapes import Dimensions
from trainer_core.training.building import make_trainable
from trainer_core.training.checks import adapted
from trainer_core.training.device import pick_device
from trainer_core.training.memory import PeakMemory
from trainer_core.training.metering import seconds_of
from trainer_core.training.sampling import SampleSettings, TextFeatures, sample_latents


@torch.no_grad()
def measure(config: TrainConfig, dims: Dimensions, options: argparse.Namespace) -> dict[str, Any]:
    """One picture of the resolution with guidance, as in the middle of a training."""
    device = pick_device(config.device)
    config, _ = adapted(config, device)
    tokens = max(options.caption_tokens)
    texts = tuple(
        TextFeatures(cap_feats=torch.randn(length, dims.cap_feat_dim), pooled=torch.randn(dims.clip_text_dim))
        for length in (tokens, 1)
    )
    with PeakMemory(device) as memory:
        model = build_model(dims, config, device)
        make_trainable(model, config)
        model.eval()
        draw = partial(_draw, model, config, texts, device)
        if options.warmup:
            draw(options.warmup)
        seconds = seconds_of(partial(draw, options.steps), device)
    return {
        "seconds_per_picture": seconds,
        "sampler_steps": options.steps,
        "seconds_per_sampler_step": seconds / options.steps,
        "peak_gib": memory.peak / GIB,
        "resolution": config.resolution,
        "caption_tokens": tokens,
        "machine": machine(device),
    }


def _draw(model: Any, config: TrainConfig, texts: Any, device: torch.device, steps: int) -> None:
    side = config.resolution
    settings = SampleSettings(
        prompt="", negative_prompt="", width=side, height=side, steps=steps, cfg=5.0, shift=6.0, seed=0
    )
    dtype = torch.float32 if config.mixed_precision == "no" else torch.bfloat16
    sample_latents(model, settings, texts, dtype=dtype, interrupted=lambda: False)


def main(arguments: list[str] | None = None) -> int:
    return run(measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
