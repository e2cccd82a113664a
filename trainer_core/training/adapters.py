"""LoRA on the transformer through PEFT: targets by dotted-name ending, adapter weights in fp32, base frozen."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.order import keyed_seed
from trainer_core.model import lora_files
from trainer_core.model.fused import dropout_branch
from trainer_core.model.light_imports import without_bitsandbytes
from trainer_core.model.lora_modules import LoraModule

with without_bitsandbytes("peft"):
    from peft import LoraConfig, inject_adapter_in_model
    from peft.tuners.lora import LoraLayer
    from peft.tuners.lora.layer import Linear as PeftLinear

ADAPTER = "default"


class LoraLinear(PeftLinear):
    """PEFT's LoRA on a linear layer: W x + scale B (A x), the second product added while it is computed.

    PEFT's own forward scales and adds in passes of their own over the layer's output, both ways.
    """

    def forward(self, x: Tensor, *args: object, **kwargs: object) -> Tensor:
        if self.disable_adapters or self.merged or args or kwargs:
            return super().forward(x, *args, **kwargs)
        down, up = self.lora_A[ADAPTER], self.lora_B[ADAPTER].weight
        rows, dropped = self._dropped(x.flatten(0, -2))
        out = self.base_layer(rows)
        low = down(dropped)
        # In place: nobody else has seen it, and no gradient needs it.
        out.addmm_(low.to(out.dtype), up.t().to(out.dtype), alpha=self.scaling[ADAPTER])
        return out.unflatten(0, x.shape[:-1])

    def _dropped(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's input for the base, and for the adapter."""
        dropout = self.lora_dropout[ADAPTER]
        if isinstance(dropout, nn.Dropout) and dropout.training:
            fused = dropout_branch(rows, dropout.p)
            if fused is not None:
                return fused
        return rows, dropout(rows)


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
    check_weights({name: parameter.shape for name, parameter in parameters.items()}, weights, where)
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])


def adapter_shapes(model: nn.Module, targets: Sequence[str], rank: int) -> dict[str, torch.Size]:
    """The shapes of what `add_lora` would train, by plain name; the model may lie on the meta device.

    Raises UserError `targets_unmatched` as `matching_modules` does.
    """
    shapes: dict[str, torch.Size] = {}
    for name in matching_modules(model, targets):
        out_features, in_features = model.get_parameter(f"{name}.weight").shape
        shapes[f"{name}.lora_A"] = torch.Size((rank, in_features))
        shapes[f"{name}.lora_B"] = torch.Size((out_features, rank))
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
            ["Use the same lora_rank and lora_target_modules as the file was trained with."],
        )


def start_weights(path: Path, rank: int, alpha: float) -> dict[str, Tensor]:
    """A LoRA's weights by plain name, such that alpha / rank of this run gives the strength that its own scale gave.

    Whether ranks and modules are those of the run is for `check_weights` to say. Raises UserError as
    `lora_files.read_lora`, or `lora_unsupported` for a DoRA.
    """
    weights: dict[str, Tensor] = {}
    for name, module in _plain_modules(path).items():
        weights[f"{name}.lora_A"] = module.down
        weights[f"{name}.lora_B"] = module.up * (module.scale / (alpha / rank))
    return weights


def _plain_modules(path: Path) -> Mapping[str, LoraModule]:
    lora = lora_files.read_lora(path)
    if lora.is_dora or lora.is_lokr:
        raise UserError(
            "lora_unsupported",
            f"{path} is a {'LoKr' if lora.is_lokr else 'DoRA'}; only plain LoRA can be trained on.",
            ["Merge it into the base (`merge`), then train a new LoRA on the merged model."],
        )
    return lora.halves
