"""The transformer's adapter: targets by dotted-name ending, LoRA (through PEFT) or LoKr, fp32, the base frozen."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.order import keyed_seed
from trainer_core.model import lora_files
from trainer_core.model.light_imports import without_bitsandbytes
from trainer_core.model.lora_modules import LokrModule, LoraFile, LoraModule, ModuleAdapter
from trainer_core.planning.adapter import AdapterShape, LokrShape
from trainer_core.training.adapter_layers import ADAPTER, LokrLinear, LoraLinear

with without_bitsandbytes("peft"):
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer


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


def add_adapter(
    model: nn.Module, adapter: AdapterShape, *, targets: Sequence[str], alpha: float, dropout: float, seed: int
) -> dict[str, nn.Parameter]:
    """Freeze `model` and add the adapter to it in place; returns the trainable parameters by plain name.

    Names are `<module>.lora_A` [rank, in] and `<module>.lora_B` [out, rank], or LoKr's as `LokrShape` tells. What
    comes last in a product is zero, so the model's output is unchanged; the rest is Kaiming-uniform (a = sqrt 5) and
    a function of (seed, name) alone.
    """
    modules = matching_modules(model, targets)
    model.requires_grad_(False)
    if isinstance(adapter, LokrShape):
        parameters = _add_lokr(model, modules, adapter, alpha / (adapter.rank or 1), dropout)
    else:
        parameters = _add_lora(model, modules, adapter.rank, alpha, dropout)
    with torch.no_grad():
        for name, parameter in parameters.items():
            if not name.endswith(_ZERO_AT_FIRST):
                bound = 1 / math.sqrt(parameter.shape[1])
                generator = torch.Generator().manual_seed(keyed_seed(seed, "lora", name))
                start = torch.rand(parameter.shape, generator=generator) * 2 * bound - bound
                parameter.copy_(start)
    return parameters


_ZERO_AT_FIRST = (".lora_B", ".lokr_w2", ".lokr_w2_b")


def _add_lora(model: nn.Module, modules: list[str], rank: int, alpha: float, dropout: float) -> dict[str, nn.Parameter]:
    config = LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=modules, bias="none")
    config._register_custom_module({nn.Linear: LoraLinear})
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
    return parameters


def _add_lokr(
    model: nn.Module, modules: list[str], adapter: LokrShape, scale: float, dropout: float
) -> dict[str, nn.Parameter]:
    parameters: dict[str, nn.Parameter] = {}
    for name in modules:
        base = model.get_submodule(name)
        assert isinstance(base, nn.Linear)
        shapes = adapter.of(base.out_features, base.in_features)
        layer = LokrLinear(base, shapes, scale=scale, dropout=dropout)
        model.set_submodule(name, layer)
        parameters |= {f"{name}.{leaf}": layer.get_parameter(leaf) for leaf in shapes}
    return parameters


def load_weights(parameters: dict[str, nn.Parameter], weights: dict[str, Tensor], where: str) -> None:
    """Copy adapter weights in, strictly. Raises UserError `lora_mismatch` naming what differs."""
    check_weights({name: parameter.shape for name, parameter in parameters.items()}, weights, where)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def adapter_shapes(model: nn.Module, targets: Sequence[str], adapter: AdapterShape) -> dict[str, torch.Size]:
    """The shapes of what `add_adapter` would train, by plain name; the model may lie on the meta device.

    Raises UserError `targets_unmatched` as `matching_modules` does.
    """
    shapes: dict[str, torch.Size] = {}
    for name in matching_modules(model, targets):
        rows, columns = model.get_parameter(f"{name}.weight").shape
        shapes |= {f"{name}.{leaf}": torch.Size(shape) for leaf, shape in adapter.of(rows, columns).items()}
    return shapes


def check_weights(shapes: Mapping[str, torch.Size], weights: Mapping[str, Tensor], where: str) -> None:
    """Raises UserError `lora_mismatch` naming what differs from an adapter of these shapes."""
    missing = sorted(set(shapes) - set(weights))
    unexpected = sorted(set(weights) - set(shapes))
    wrong = [name for name in shapes if name in weights and weights[name].shape != shapes[name]]
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
            ["Use the same lora_target_modules and lora_rank (of a LoKr lokr_factor and lokr_rank) as the file has."],
        )


def start_weights(path: Path, adapter: AdapterShape, alpha: float) -> dict[str, Tensor]:
    """A file's weights by plain name, such that this run's own scale gives the strength that the file's scale gave.

    Whether ranks and modules are those of the run is for `check_weights` to say. Raises UserError as
    `lora_files.read_lora`, or `lora_unsupported` for another kind of adapter than the run's.
    """
    lora = lora_files.read_lora(path)
    _require_kind(path, lora, adapter)
    weights: dict[str, Tensor] = {}
    for name, module in lora.modules.items():
        weights |= {f"{name}.{leaf}": value for leaf, value in _as_trained(module, adapter, alpha).items()}
    return weights


def _as_trained(module: ModuleAdapter, adapter: AdapterShape, alpha: float) -> dict[str, Tensor]:
    """One module's tensors by their names in training, its scale folded in."""
    if isinstance(module, LokrModule):
        shapes = adapter.of(*module.shape)
        scale = module.scale / (1.0 if "lokr_w2" in shapes else alpha / adapter.rank)
        # Whoever trained both factors in halves: their product is the factor that is trained here.
        parts = {"lokr_w1": module.factor("w1") * scale}
        if "lokr_w2" in shapes:
            return {**parts, "lokr_w2": module.factor("w2")}
        return parts | {f"lokr_{role}": tensor for role, tensor in module.factors.items() if role.startswith("w2")}
    assert isinstance(module, LoraModule)
    return {"lora_A": module.down, "lora_B": module.up * (module.scale / (alpha / adapter.rank))}


def _require_kind(path: Path, lora: LoraFile, adapter: AdapterShape) -> None:
    if lora.is_lokr and lora.halves:
        raise UserError(
            "lora_unsupported",
            f"{path} holds LoKr and LoRA side by side; a run trains one of them.",
            ["Merge it into the base (`merge`), then train a new LoRA on the merged model."],
        )
    found = "DoRA" if lora.is_dora else "LoKr" if lora.is_lokr else "LoRA"
    wanted = "LoKr" if isinstance(adapter, LokrShape) else "LoRA"
    if found == wanted:
        return
    other = [] if found == "DoRA" else [f'Set adapter_type = "{found.lower()}".']
    raise UserError(
        "lora_unsupported",
        f'{path} is a {found}; adapter_type = "{wanted.lower()}" can only start from a {wanted}.',
        [*other, "Merge it into the base (`merge`), then train a new LoRA on the merged model."],
    )
