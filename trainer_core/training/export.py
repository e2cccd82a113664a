"""Exports of an adapter: one ComfyUI-ready file and a PEFT folder.

ComfyUI core and the NewBie LoRA loader node both read `diffusion_model.<module>.lora_down/lora_up` with `.alpha`.
Metadata keys named lora_rank or lora_alpha are never written: that node would apply the scale a second time.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.fsutil import fsync_dir, fsync_file, replace

LICENSE = "Newbie-NC-1.0 (non-commercial)"
BASE_NAME = "NewBie-image-Exp0.1"


@dataclass(frozen=True, kw_only=True)
class TrainingFacts:
    """What the metadata tells of the run, beside its config."""

    step: int
    epoch: int
    images: int
    tag_frequency: Mapping[str, Mapping[str, int]]
    buckets: Mapping[str, int]  # "1024x768" (width, height) -> images
    base_hash: str
    started_at: float


def export_adapter(folder: Path, weights: Mapping[str, Tensor], config: TrainConfig, facts: TrainingFacts) -> Path:
    """Write `<output_name>-step-N.safetensors` and `<output_name>-step-N-peft/` into `folder`; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{config.output_name}-step-{facts.step:08d}"
    stored = {key: value.detach().float().cpu().contiguous() for key, value in weights.items()}
    file = folder / f"{name}.safetensors"
    temporary = folder / f".{file.name}.{os.getpid()}.tmp"
    tensors = comfy_tensors(stored, config.lora_alpha)
    try:
        save_file(tensors, temporary, metadata=metadata(tensors, config, facts))
        fsync_file(temporary)
        replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    _write_peft(folder / f"{name}-peft", stored, config)
    fsync_dir(folder)
    return file


def comfy_tensors(weights: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """`<module>.lora_A/B` -> ComfyUI names with one `.alpha` a module."""
    tensors: dict[str, Tensor] = {}
    for name, value in weights.items():
        module, side = name.rsplit(".", 1)
        suffix = {"lora_A": "lora_down", "lora_B": "lora_up"}[side]
        tensors[f"diffusion_model.{module}.{suffix}.weight"] = value
        tensors[f"diffusion_model.{module}.alpha"] = torch.tensor(float(alpha))
    return tensors


def metadata(tensors: Mapping[str, Tensor], config: TrainConfig, facts: TrainingFacts) -> dict[str, str]:
    """ss_* as kohya's readers expect and modelspec.* (SAI 1.0.0); every value is a string."""
    network = {"lora_target_modules": config.lora_target_modules, "dropout": config.lora_dropout}
    finished = datetime.now(UTC)
    values = {
        "ss_output_name": config.output_name,
        "ss_base_model_version": BASE_NAME,
        "ss_sd_model_name": Path(config.base_model_path).name,
        "ss_new_sd_model_hash": facts.base_hash,
        "ss_network_module": "networks.lora",
        "ss_network_dim": config.lora_rank,
        "ss_network_alpha": config.lora_alpha,
        "ss_network_args": json.dumps(network),
        "ss_learning_rate": config.learning_rate,
        "ss_lr_scheduler": config.lr_scheduler,
        "ss_lr_warmup_steps": config.lr_warmup_steps,
        "ss_optimizer": config.optimizer_type,
        "ss_mixed_precision": config.mixed_precision,
        "ss_max_grad_norm": config.gradient_clip_norm,
        "ss_gradient_accumulation_steps": config.gradient_accumulation_steps,
        "ss_total_batch_size": config.train_batch_size * config.gradient_accumulation_steps,
        "ss_seed": config.seed,
        "ss_resolution": f"({config.resolution}, {config.resolution})",
        "ss_enable_bucket": config.enable_bucket,
        "ss_bucket_info": json.dumps({"buckets": _bucket_table(facts.buckets)}),
        "ss_caption_dropout_rate": config.caption_dropout_rate,
        "ss_shuffle_caption": config.shuffle_caption,
        "ss_keep_tokens": config.keep_tokens,
        "ss_num_train_images": facts.images,
        "ss_num_epochs": config.num_epochs,
        "ss_epoch": facts.epoch,
        "ss_steps": facts.step,
        "ss_tag_frequency": json.dumps(facts.tag_frequency, ensure_ascii=False),
        "ss_training_started_at": facts.started_at,
        "ss_training_finished_at": finished.timestamp(),
        "sshs_model_hash": _tensor_hash(tensors),
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "newbie-image/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": config.output_name,
        "modelspec.resolution": f"{config.resolution}x{config.resolution}",
        "modelspec.prediction_type": "rectified-flow",
        "modelspec.date": finished.isoformat(timespec="seconds"),
        "modelspec.license": LICENSE,
    }
    return {key: str(value) for key, value in values.items()}


def _bucket_table(buckets: Mapping[str, int]) -> dict[str, dict[str, object]]:
    """As kohya writes it and web UIs read it: numbered, with resolution [width, height] and image count."""
    return {
        str(number): {"resolution": [int(side) for side in size.split("x")], "count": count}
        for number, (size, count) in enumerate(sorted(buckets.items()))
    }


def _tensor_hash(tensors: Mapping[str, Tensor]) -> str:
    digest = sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _write_peft(folder: Path, weights: Mapping[str, Tensor], config: TrainConfig) -> None:
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    tensors = {f"base_model.model.{name}.weight": value for name, value in weights.items()}
    save_file(tensors, temporary / "adapter_model.safetensors", metadata={"format": "pt"})
    settings = {
        "peft_type": "LORA",
        "task_type": None,
        "base_model_name_or_path": config.base_model_path,
        "r": config.lora_rank,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": sorted({name.rsplit(".", 1)[0] for name in weights}),
        "bias": "none",
        "inference_mode": True,
    }
    (temporary / "adapter_config.json").write_text(json.dumps(settings, indent=1), encoding="utf-8")
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        fsync_file(temporary / name)
    if folder.exists():
        shutil.rmtree(folder)
    replace(temporary, folder)
