"""What a config asks for and what this machine can do: refused early, or done in the nearest way, which is said."""

import os
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import torch

from trainer_core.contracts.config import TrainConfig, named_parts
from trainer_core.contracts.disk import folder_problem
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir
from trainer_core.dataset.scan import folder_missing
from trainer_core.model.attention import backend_problem, check_backend
from trainer_core.model.compiled import compile_problem
from trainer_core.model.folder import BaseFolder, empty_transformer, find_base, transformer_dimensions
from trainer_core.model.fused import kernels_problem
from trainer_core.model.hub import resolve_part
from trainer_core.planning.adapter import adapter_shape
from trainer_core.planning.base_check import require_parts
from trainer_core.planning.swapped import swapped_places
from trainer_core.training.adapters import adapter_shapes, check_weights, start_weights
from trainer_core.training.cache import cache_root
from trainer_core.training.optim import check_optimizer


def base_of(config: TrainConfig) -> BaseFolder:
    """The base that a config names, whole or part by part; parts named by hub id are fetched if they are not here.

    Raises UserError as `find_base` and `resolve_part` do.
    """
    parts = {kind: resolve_part(text, kind) for kind, text in named_parts(config).items()}
    return find_base(Path(config.base_model_path) if config.base_model_path else None, **parts)


def adapted(config: TrainConfig, device: torch.device) -> tuple[TrainConfig, list[str]]:
    """The config as it is carried out on `device`, and a sentence for each setting that this changes."""
    notes: list[str] = []
    if config.optimizer_type == "AdamW8bit" and device.type == "cpu":
        config = replace(config, optimizer_type="AdamW")
        notes.append(
            "AdamW8bit needs an NVIDIA GPU; this run on the CPU uses AdamW: the same update, its state in 32 bits."
        )
    if config.use_flash_attention_2 and config.attention_backend == "sdpa":
        problem = backend_problem("flash", device)
        if problem is None and config.mixed_precision == "no":
            problem = 'needs mixed_precision "bf16" or "fp16"'
        if problem is None:
            config = replace(config, attention_backend="flash")
        else:
            notes.append(f"use_flash_attention_2: flash-attn {problem}; PyTorch's own attention kernels are used.")
    if config.checkpoint_skip_every and not config.gradient_checkpointing:
        # Not refused: switching checkpointing off is what a run with memory to spare is advised to do.
        notes.append(
            f"checkpoint_skip_every = {config.checkpoint_skip_every} does nothing without gradient_checkpointing: "
            "every block keeps its activations."
        )
    problem = compile_problem(device) if config.compile_blocks else None
    if problem:
        config = replace(config, compile_blocks=False)
        notes.append(f"compile_blocks: to compile {problem}; blocks run as they are.")
    return config, notes


def kernel_notes(device: torch.device) -> list[str]:
    """What is slower without the Triton kernels, if they do not run on `device`, where they are tried.

    Raises what torch or Triton raise where the GPU's memory is full.
    """
    problem = kernels_problem() if device.type == "cuda" else ""
    if not problem:
        return []
    return [f"Triton kernels {problem}; PyTorch's own do the same in up to half as much time again."]


def _check_folders(config: TrainConfig) -> None:
    """The data is there, and what the run writes does not become part of it."""
    for option in ("train_data_dir", "validation_data_dir"):
        folder = Path(getattr(config, option))
        if getattr(config, option) and not folder.is_dir():
            raise folder_missing(option, folder)
        run = RunDir.of(config).path
        if getattr(config, option) and run.resolve().is_relative_to(folder.resolve()):
            raise UserError(
                "output_invalid",
                f"output_dir: the run folder {run} lies inside {option} ({folder}); its samples would be trained on.",
                ["Choose an output_dir outside of it."],
            )


def _check_cache(config: TrainConfig) -> None:
    """The features can be kept where the config says; nothing is made for the answer."""
    root = cache_root(config)
    # output_dir itself is the run folder's own matter.
    if root is None or not (config.cache_dir or os.path.lexists(root)):
        return
    problem = folder_problem(root)
    if problem is None:
        return
    raise UserError(
        "cache_unusable",
        f"cache_dir: the features cannot be kept in {root}: {problem.strerror} ({problem.filename}).",
        [
            "Choose another cache_dir, or free this path.",
            "Or set use_cache = false: features are then kept in memory and made anew at each start.",
        ],
    )


def check_early(config: TrainConfig, base: BaseFolder, device: torch.device) -> None:
    """What would stop the run after hours of encoding, asked before the first file is written."""
    _check_folders(config)
    _check_cache(config)
    check_backend(config.attention_backend, device)
    check_optimizer(config, device)
    if config.mixed_precision == "fp16" and device.type == "cpu":
        raise UserError(
            "device_unavailable",
            'mixed_precision = "fp16" needs a GPU; this run uses the CPU.',
            ['Set mixed_precision = "no" or "bf16".'],
        )
    for option in ("quantize_base", "quantize_gemma"):
        if getattr(config, option) == "nf4" and find_spec("bitsandbytes") is None:
            raise UserError(
                "quantisation_unavailable",
                f'{option} = "nf4" needs the package bitsandbytes, which is not installed.',
                ["pip install -r requirements.txt", f'Or set {option} = "int8".'],
            )
    require_parts(base)
    model = empty_transformer(transformer_dimensions(base.transformer))
    adapter = adapter_shape(config)
    shapes = adapter_shapes(model, config.lora_target_modules, adapter)
    swapped_places(len(model.layers), config.swap_blocks)
    run = RunDir.of(config)
    # A run that goes on from a checkpoint needs the file no more, which may be gone by then.
    if config.resume_from_lora and not run.has_begun():
        start = Path(config.resume_from_lora)
        check_weights(shapes, start_weights(start, adapter, config.lora_alpha), str(start))
