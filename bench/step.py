"""Speed and memory of training steps: python -m bench.step [CONFIG] [flags]; prints one JSON line.

The trainer's own loop runs (model, LoRA, autocast, loss, clipping, optimizer) on random weights made on the
device, so no base is needed, and on random features of the config's resolution. Utilisation is the model's
arithmetic in a second, without recomputation, as a share of what one large matrix product reaches just before
in the same number format.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from bench.machine import machine
from trainer_core.contracts.config import TrainConfig, load_config
from trainer_core.contracts.errors import UserError, is_gpu_memory
from trainer_core.model.attention import check_backend
from trainer_core.model.fused import kernels_problem
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.quantised import quantise_blocks
from trainer_core.model.swapping import Swapping
from trainer_core.planning.activations import activations
from trainer_core.planning.adapter import adapter_shape
from trainer_core.planning.measured import passes_of
from trainer_core.planning.phases import GIB, Workload, training_pass, training_phase
from trainer_core.planning.shapes import Dimensions, matching, parameter_count
from trainer_core.planning.swapped import swapped_places
from trainer_core.training.building import make_trainable
from trainer_core.training.checks import adapted
from trainer_core.training.device import pick_device
from trainer_core.training.distributed import World
from trainer_core.training.dummy_data import RandomFeatures, dummy_samples
from trainer_core.training.failures import training_problem
from trainer_core.training.loop import LaunchedStep, Trainer
from trainer_core.training.memory import PeakMemory
from trainer_core.training.metering import seconds_of
from trainer_core.training.steps import Schedule

SIZES: Mapping[str, Mapping[str, int]] = {
    "full": {},
    "tiny": {
        "dim": 192,
        "n_layers": 6,
        "n_refiner_layers": 1,
        "n_heads": 4,
        "n_kv_heads": 2,
        "cap_feat_dim": 128,
        "clip_text_dim": 128,
    },
}
# Flag -> the size that it gives.
FLAGS = {
    "dim": "dim", "layers": "n_layers", "refiners": "n_refiner_layers", "heads": "n_heads", "kv_heads": "n_kv_heads",
}  # fmt: skip


def build_model(dims: Dimensions, config: TrainConfig, device: torch.device) -> NextDiT:
    """Random weights straight on the device, in the format that training loads them in; on the CPU for swapping."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float32 if config.mixed_precision == "no" else torch.bfloat16)
    try:
        with torch.device("cpu") if config.swap_blocks else device:
            model = NextDiT(**vars(dims))
    finally:
        torch.set_default_dtype(before)
    model.requires_grad_(False)
    if config.quantize_base != "no":
        quantise_blocks(model, config.quantize_base)
    if config.swap_blocks:
        Swapping(model, swapped_places(dims.n_layers, config.swap_blocks), device)
    return model.to(device)


def build_trainer(
    config: TrainConfig, dims: Dimensions, device: torch.device, caption_tokens: Sequence[int]
) -> Trainer:
    """A trainer over random weights and features; ``caption_tokens`` of the images in turn."""
    model = build_model(dims, config, device)
    parameters = make_trainable(model, config, warn=_refuse)
    samples = dummy_samples((config.resolution, config.resolution), caption_tokens)
    images = config.train_batch_size * config.gradient_accumulation_steps
    return Trainer(
        config, model, parameters,
        store=RandomFeatures(
            channels=dims.in_channels, caption_dim=dims.cap_feat_dim, pooled_dim=dims.clip_text_dim
        ),
        schedule=Schedule(config, [samples[number % len(samples)] for number in range(images)]),
        world=World(mixed_precision=config.mixed_precision, cpu=device.type == "cpu"),
    )  # fmt: skip


def _refuse(sentence: str) -> None:
    """A figure of blocks that were not compiled must not stand for compiled ones."""
    raise UserError("compile_failed", sentence)


def matrix_rate(device: torch.device, precision: str, seconds: float = 0.5) -> float:
    """FLOP/s of a square matrix product, the best of several, in the number format of training.

    The three layouts of a linear layer take turns (forward, gradient of the input, of the weight): on CPUs without
    units for 16-bit numbers one of them can be ten times slower than another.
    """
    dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "no": torch.float32}[precision]
    side = 8192 if device.type == "cuda" else 512
    a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    layouts = (lambda: a @ b.t(), lambda: a @ b, lambda: a.t() @ b)
    best, end = 0.0, time.perf_counter() + seconds
    while not best or time.perf_counter() < end:
        best = max(best, *(2 * side**3 / seconds_of(layout, device) for layout in layouts))
    return best


def pace(trainer: Trainer, steps: range, device: torch.device) -> tuple[float, float]:
    """Seconds a step of the host's work (at most: it may wait for the device), and of all, as a session has them made.

    A session launches each step before it reads the one before.
    """
    host: list[float] = []

    def go() -> None:
        under_way: LaunchedStep | None = None
        for step in steps:
            begun = time.perf_counter()
            launched = trainer.launch(step)
            host.append(time.perf_counter() - begun)
            if under_way is not None:
                under_way.result()
            under_way = launched
        if under_way is not None:
            under_way.result()

    seconds = seconds_of(go, device) / len(steps)
    return min(host), seconds


def measure(config: TrainConfig, dims: Dimensions, options: argparse.Namespace) -> dict[str, Any]:
    """Warm-up steps, then timed ones; the figures of the JSON line."""
    device = pick_device(config.device)
    # Captions of the lengths that were asked for.
    config, _ = adapted(replace(config, caption_dropout_rate=0.0), device)
    check_backend(config.attention_backend, device)
    rate = matrix_rate(device, config.mixed_precision)
    with PeakMemory(device) as memory:
        trainer = build_trainer(config, dims, device, options.caption_tokens)
        for step in range(options.warmup):
            trainer.step(step)
        host, seconds = pace(trainer, range(options.warmup, options.warmup + options.steps), device)
        trainer.close()
    images = config.train_batch_size * config.gradient_accumulation_steps
    side, cuda = config.resolution, device.type == "cuda"
    targets = matching(dims, config.lora_target_modules)
    work = Workload(
        micro_batch=(side, side, config.images_at_once), largest_picture=(side, side),
        caption_tokens=max(options.caption_tokens), sample_size=(side, side),
    )  # fmt: skip
    run = training_pass(config, work, cuda=cuda)
    held = activations(dims, targets, run)
    planned = training_phase(config, dims, targets, work, cuda=cuda, world_size=1).bytes
    arithmetic = held.model_flops * passes_of(config)
    executed = held.executed_flops * passes_of(config)
    return {
        "seconds_per_step": seconds,
        "images_per_second": images / seconds,
        "peak_gib": memory.peak / GIB,
        "process_gib": memory.process / GIB,
        "estimated_peak_gib": planned / GIB,
        "estimate_over_measured": planned / memory.peak,
        "model_tflop_per_step": arithmetic / 1e12,
        "executed_tflop_per_step": executed / 1e12,
        "matrix_tflops": rate / 1e12,
        "utilisation": arithmetic / seconds / rate,
        "executed_utilisation": executed / seconds / rate,
        "steps_timed": options.steps,
        "host_seconds_per_step": host,
        "kernels": not kernels_problem(),
        "parameters": parameter_count(dims),
        "lora_parameters": targets.parameters(adapter_shape(config)),
        "caption_tokens": options.caption_tokens,
        "machine": machine(device),
        "config": {name: getattr(config, name) for name in SHOWN},
    }


SHOWN = (
    "resolution", "train_batch_size", "gradient_accumulation_steps", "gradient_checkpointing",
    "checkpoint_skip_every", "quantize_base", "swap_blocks", "mixed_precision",
    "attention_backend", "compile_blocks", "optimizer_type", "adapter_type", "lora_rank", "lokr_factor", "lokr_rank",
    "lora_dropout", "lora_target_modules",
)  # fmt: skip


def _counts(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.step", description=__doc__)
    parser.add_argument("config", type=Path, nargs="?", help="TOML config; only its training options count")
    parser.add_argument("--size", choices=sorted(SIZES), default="full", help="released model, or the built-in base's")
    for name in FLAGS:
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, help="of the model, instead of the size's")
    parser.add_argument(
        "--caption-tokens", type=_counts, default=[256], metavar="N[,N ...]", help="of the images in turn (256)"
    )
    parser.add_argument("--steps", type=int, default=10, help="timed steps (default: %(default)s)")
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="any option, as in TOML")
    options = parser.parse_args(arguments)
    if min(options.steps, *options.caption_tokens) < 1 or options.warmup < 0:
        parser.error("--steps and --caption-tokens must be at least 1, --warmup at least 0")
    return options


def config_of(options: argparse.Namespace) -> TrainConfig:
    """The config file, or the defaults, with what --set changes. Raises ConfigError."""
    own = {name.strip(): value for name, _, value in (line.partition("=") for line in options.set)}
    values = {"base_model_path": '"-"', "train_data_dir": '"-"', **own}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "set.toml"
        file.write_text("\n".join(f"{name} = {value}" for name, value in values.items()), encoding="utf-8")
        changed = load_config(file)
    if options.config is None:
        return changed
    return replace(load_config(options.config), **{name: getattr(changed, name) for name in own})


def dimensions_of(options: argparse.Namespace) -> Dimensions:
    """The model's sizes: those of --size, with what was given beside it."""
    own = {keyword: getattr(options, name) for name, keyword in FLAGS.items()}
    sizes = {**SIZES[options.size], **{keyword: value for keyword, value in own.items() if value is not None}}
    dims = Dimensions(**sizes)
    return replace(dims, axes_dims=(dims.head_dim // 3,) * 3)


Measure = Callable[[TrainConfig, Dimensions, argparse.Namespace], dict[str, Any]]


def run(measure: Measure, arguments: list[str] | None) -> int:
    """Print a benchmark's figures as one line, or why there are none; returns the exit code."""
    options = parse(arguments)
    config: TrainConfig | None = None
    try:
        config = config_of(options)
        figures = measure(config, dimensions_of(options), options)
    except (UserError, RuntimeError) as error:
        if not isinstance(error, UserError) and not is_gpu_memory(error):
            raise
        print(f"error: {training_problem(error, config) if config else error}", file=sys.stderr)
        return 1
    print(json.dumps(figures))
    return 0


def main(arguments: list[str] | None = None) -> int:
    return run(measure, arguments)


if __name__ == "__main__":
    sys.exit(main())
