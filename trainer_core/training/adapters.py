"""LoRA on the transformer through PEFT: targets by dotted-name ending, adapter weights in fp32, base frozen."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import torch
from peft import LoraConfig, inject_adapter_in_model
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.order import keyed_seed

ADAPTER = "default"


def matching_modules(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Dotted names of the linear layers that end in a target.

    Raises UserError `targets_unmatched` when any single target matches nothing (PEFT itself would be content with
    one good target among bogus ones).
    """
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    found: list[str] = []
    unmatched = []
    for target in targets:
        hits = [name for name in linear if name == target or name.endswith(f".{target}")]
        found += hits
        if not hits:
            unmatched.append(target)
    if unmatched or not found:
        endings = sorted({_ending(name) for name in linear})
        raise UserError(
            "targets_unmatched",
            f"lora_target_modules: no module ends in {', '.join(map(repr, unmatched)) or '(none given)'}. "
            f"What exists: {', '.join(endings)}.",
            ["Remove the name or correct its spelling; names are matched by their dotted ending."],
        )
    return sorted(set(found))


def _ending(name: str) -> str:
    """The part of a module name that repeats over blocks: layers.3.attention.qkv -> attention.qkv."""
    parts = name.split(".")
    return ".".join(parts[2:]) if len(parts) > 2 and parts[1].isdigit() else name


def add_lora(
    model: nn.Module, *, targets: Sequence[str], rank: int, alpha: float, dropout: float, seed: int
) -> dict[str, nn.Parameter]:
    """Freeze `model` and add LoRA to it in place; returns the trainable parameters by plain name.

    Names are `<module>.lora_A` [rank, in] and `<module>.lora_B` [out, rank]. A is Kaiming-uniform (a = sqrt 5) and
    a function of (seed, name) alone; B is zero, so the model's output is unchanged.
    """
    modules = matching_modules(model, targets)
    model.requires_grad_(False)
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=modules, bias="none")
    inject_adapter_in_model(config, model, adapter_name=ADAPTER)
    for module in model.modules():
        if isinstance(module, LoraLayer):
            # Autocast brings inputs and adapter to one dtype; PEFT's own fp32 copy of each input only costs memory.
            module.cast_input_dtype_enabled = False
    parameters: dict[str, nn.Parameter] = {}
    for name, parameter in model.named_parameters():
        if ".lora_A." in name or ".lora_B." in name:
            parameter.data = parameter.data.float()
            parameter.requires_grad_(True)
            parameters[name.removesuffix(f".{ADAPTER}.weight")] = parameter
    with torch.no_grad():
        for name, parameter in parameters.items():
            if name.endswith(".lora_A"):
                bound = 1 / math.sqrt(parameter.shape[1])
                generator = torch.Generator().manual_seed(keyed_seed(seed, "lora", name))
                start = torch.rand(parameter.shape, generator=generator) * 2 * bound - bound
                parameter.copy_(start)
    return parameters


def load_weights(parameters: dict[str, nn.Parameter], weights: dict[str, Tensor], where: str) -> None:
    """Copy adapter weights in, strictly. Raises UserError `lora_mismatch` naming what differs."""
    missing = sorted(set(parameters) - set(weights))
    unexpected = sorted(set(weights) - set(parameters))
    wrong = [n for n in parameters if n in weights and weights[n].shape != parameters[n].shape]
    if missing or unexpected or wrong:
        details = [
            f"{what}: {', '.join(names[:4])}{' …' if len(names) > 4 else ''} ({len(names)})"
            for what, names in (
                ("missing", missing),
                ("not trained here", unexpected),
                ("other shape", wrong),
            )
            if names
        ]
        raise UserError(
            "lora_mismatch",
            f"{where} does not fit this run's adapter; {'; '.join(details)}.",
            ["Use the same lora_rank and lora_target_modules as the file was trained with."],
        )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def read_lora(path: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    """Weights by plain name (fp32) and alpha by module, of one of our exports: ComfyUI file or PEFT folder.

    Raises UserError `lora_unreadable` for anything else.
    """
    file = path / "adapter_model.safetensors" if path.is_dir() else path
    try:
        with safe_open(file, framework="pt") as entries:
            tensors = {name: entries.get_tensor(name) for name in entries.keys()}
        settings = json.loads((path / "adapter_config.json").read_text(encoding="utf-8")) if path.is_dir() else {}
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(
            "lora_unreadable",
            f"{path} cannot be read as a LoRA ({error}).",
            ["Give a .safetensors file or a PEFT folder (adapter_model.safetensors and adapter_config.json)."],
        ) from error
    weights, alphas = _plain_names(tensors, path)
    modules = sorted({name.rsplit(".", 1)[0] for name in weights})
    if path.is_dir():
        alphas = dict.fromkeys(modules, _peft_alpha(settings, path))
    # Without an alpha, every reader takes a scale of 1.
    return weights, {m: alphas.get(m, float(weights[f"{m}.lora_A"].shape[0])) for m in modules}


def _peft_alpha(settings: object, path: Path) -> float:
    """lora_alpha of a PEFT folder; variants that scale otherwise (and that we do not write) are refused."""
    alpha = settings.get("lora_alpha") if isinstance(settings, dict) else None
    variants = ("use_rslora", "use_dora", "alpha_pattern", "rank_pattern")
    used = [name for name in variants if isinstance(settings, dict) and settings.get(name)]
    if used or not isinstance(alpha, int | float):
        reason = f"it uses {', '.join(used)}" if used else "adapter_config.json states no lora_alpha"
        raise UserError(
            "lora_unreadable",
            f"{path} cannot be read as a LoRA: {reason}.",
            ["Supported: LoRA files written by this trainer (ComfyUI file or PEFT folder)."],
        )
    return float(alpha)


_PREFIXES = ("diffusion_model.", "base_model.model.")
_SUFFIXES = {
    ".lora_down.weight": ".lora_A",
    ".lora_up.weight": ".lora_B",
    ".lora_A.weight": ".lora_A",
    ".lora_B.weight": ".lora_B",
}


def _plain_names(tensors: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], dict[str, float]]:
    weights: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    unknown = []
    for name, value in tensors.items():
        bare = next((name.removeprefix(p) for p in _PREFIXES if name.startswith(p)), None)
        suffix = next((s for s in _SUFFIXES if name.endswith(s)), None)
        if bare is not None and name.endswith(".alpha") and value.numel() == 1:
            alphas[bare.removesuffix(".alpha")] = float(value)
        elif bare is None or suffix is None or value.dim() != 2:
            unknown.append(name)
        else:
            weights[bare.removesuffix(suffix) + _SUFFIXES[suffix]] = value.float()
    modules = {name.rsplit(".", 1)[0] for name in weights} | set(alphas)
    halves = [f"{m}.lora_{side}" for m in sorted(modules) for side in "AB" if f"{m}.lora_{side}" not in weights]
    if unknown or halves or not weights:
        shown = ", ".join((unknown + halves)[:6]) or "no LoRA tensors"
        raise UserError(
            "lora_unreadable",
            f"{path} holds names that are not understood or lacks some: {shown}.",
            ["Supported: LoRA files written by this trainer (ComfyUI file or PEFT folder)."],
        )
    return weights, alphas
