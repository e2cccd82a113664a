"""Exports of an adapter: a ComfyUI-ready file, of a LoRA also a PEFT folder, with metadata that others understand."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from torch import Tensor

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.forms import LICENSE
from trainer_core.contracts.run_names import export_name, peft_name
from trainer_core.contracts.text_settings import TextSettings
from trainer_core.model.lora_modules import LokrModule, LoraModule, ModuleAdapter
from trainer_core.model.lora_writing import write_comfy, write_peft

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
    processes: int = 1


def export_adapter(folder: Path, weights: Mapping[str, Tensor], config: TrainConfig, facts: TrainingFacts) -> Path:
    """Write `<output_name>-step-N.safetensors` into `folder` and, of a LoRA, `<output_name>-step-N-peft/`, which has no
    place for a LoKr; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    modules = adapter_modules(weights, config)
    file = folder / export_name(config.output_name, facts.step)
    write_comfy(file, modules, metadata(config, facts))
    halves = {name: module for name, module in modules.items() if isinstance(module, LoraModule)}
    if halves:
        text = TextSettings.of(config).metadata()
        base = config.base_model_path
        write_peft(folder / peft_name(file.name), halves, text, dropout=config.lora_dropout, base=base)
    return file


def adapter_modules(weights: Mapping[str, Tensor], config: TrainConfig) -> dict[str, ModuleAdapter]:
    """Trained tensors by plain name -> one module's adapter each, as fp32 copies on the CPU."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in sorted(weights.items()):
        module, leaf = name.rsplit(".", 1)
        parts.setdefault(module, {})[leaf] = value.detach().float().cpu().contiguous()
    return {name: _module(tensors, config) for name, tensors in parts.items()}


def _module(tensors: Mapping[str, Tensor], config: TrainConfig) -> ModuleAdapter:
    if config.adapter_type == "lora":
        return LoraModule(down=tensors["lora_A"], up=tensors["lora_B"], alpha=config.lora_alpha)
    factors = {leaf.removeprefix("lokr_"): tensor for leaf, tensor in tensors.items()}
    if "w2" in factors:
        # No reader lets alpha count here.
        return LokrModule(factors=factors, alpha=1.0, scale=1.0)
    return LokrModule(factors=factors, alpha=config.lora_alpha, scale=config.lora_alpha / config.lokr_rank)


def metadata(config: TrainConfig, facts: TrainingFacts) -> dict[str, str]:
    """ss_* as kohya's readers expect, modelspec.* (SAI 1.0.0) and how captions were read; every value is a string.

    The hash of the tensors is added when they are written.
    """
    finished = datetime.now(UTC)
    values = {
        "ss_output_name": config.output_name,
        "ss_base_model_version": BASE_NAME,
        "ss_sd_model_name": _model_name(config),
        "ss_new_sd_model_hash": facts.base_hash,
        **_network(config),
        "ss_learning_rate": config.learning_rate,
        "ss_lr_scheduler": config.lr_scheduler,
        "ss_lr_warmup_steps": config.lr_warmup_steps,
        "ss_optimizer": config.optimizer_type,
        "ss_mixed_precision": config.mixed_precision,
        "ss_max_grad_norm": config.gradient_clip_norm,
        "ss_gradient_accumulation_steps": config.gradient_accumulation_steps,
        "ss_total_batch_size": config.train_batch_size * config.gradient_accumulation_steps * facts.processes,
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
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "newbie-image/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": config.output_name,
        "modelspec.resolution": f"{config.resolution}x{config.resolution}",
        "modelspec.prediction_type": "rectified-flow",
        "modelspec.date": finished.isoformat(timespec="seconds"),
        "modelspec.license": LICENSE,
    }
    return {key: str(value) for key, value in values.items()} | TextSettings.of(config).metadata()


def _network(config: TrainConfig) -> dict[str, object]:
    """The adapter, as kohya's scripts and LyCORIS state theirs; a LoKr of whole factors has neither rank nor alpha."""
    arguments: dict[str, object] = {
        "lora_target_modules": config.lora_target_modules,
        "dropout": config.lora_dropout,
    }
    if config.adapter_type == "lokr":
        arguments |= {"algo": "lokr", "factor": config.lokr_factor or -1}
    scaled = {"ss_network_dim": config.adapter_rank, "ss_network_alpha": config.lora_alpha}
    return {
        "ss_network_module": "lycoris.kohya" if config.adapter_type == "lokr" else "networks.lora",
        **(scaled if config.adapter_rank else {}),
        "ss_network_args": json.dumps(arguments),
    }


def _model_name(config: TrainConfig) -> str:
    """Of the transformer that was loaded; one that lies in a base as its folder "transformer" has the base's name."""
    place = Path(config.transformer_path or config.base_model_path).absolute()
    return place.parent.name if place.name == "transformer" else place.name


def _bucket_table(buckets: Mapping[str, int]) -> dict[str, dict[str, object]]:
    """As kohya writes it and web UIs read it: numbered, with resolution [width, height] and image count."""
    return {
        str(number): {"resolution": [int(side) for side in size.split("x")], "count": count}
        for number, (size, count) in enumerate(sorted(buckets.items()))
    }
