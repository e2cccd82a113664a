"""Writing a LoRA: one ComfyUI file, a PEFT folder, or one file for diffusers.

ComfyUI core and the NewBie LoRA loader node both read `diffusion_model.<module>.lora_down/lora_up` with `.alpha`.
Metadata keys named lora_rank or lora_alpha are never written: that node would apply the scale a second time.
ComfyUI divides a DoRA's dora_scale by the row norms of the base, so the file carries the magnitude times
|W| / |W + delta|, and says so in its metadata.
Diffusers names the modules in its own way, splits qkv, and takes alpha from the metadata alone.
A LoKr is `diffusion_model.<module>.lokr_*` with `.alpha`: ComfyUI loads the upstream trainer's own names in part only.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import discard_folder, fsync_file, whole_folder
from trainer_core.model.lora_modules import LoraModule, ModuleAdapter, row_norms, split
from trainer_core.model.writing import Entry, hash_tensors, write_tensors
from trainer_core.planning.lora_facts import PEFT_WEIGHTS
from trainer_core.planning.lora_names import LOKR_ROLES, diffusers_module, listing
from trainer_core.planning.lora_peft import (
    DIFFUSERS_KEY,
    DIFFUSERS_PART,
    PEFT_PREFIX,
    SETTINGS_FILE,
    diffusers_json,
    settings_json,
)
from trainer_core.planning.lora_slots import DORA_KEY, DORA_OVER_BASE

Modules = Mapping[str, LoraModule]
_SCALED_TWICE = ("lora_rank", "lora_alpha")
# kohya's readers know a LoRA again by these, computed from its bytes; the second, from a fixed place of the whole file.
_HASH_KEY, _OLD_HASH_KEY = "sshs_model_hash", "sshs_legacy_hash"
# What the metadata of one form state about its tensors is not true of another's.
_OF_ONE_FORM = (*_SCALED_TWICE, DORA_KEY, DIFFUSERS_KEY, _HASH_KEY, _OLD_HASH_KEY)


_COMFY_NAMES = {
    "down": "lora_down.weight",
    "up": "lora_up.weight",
    **{role: f"lokr_{role}" for role in LOKR_ROLES},
}


def comfy_tensors(modules: Mapping[str, ModuleAdapter], dtype: torch.dtype | None = None) -> dict[str, Tensor]:
    """ComfyUI names with one `.alpha` a module; `dtype` None keeps what each module was stored in.

    Alpha and a DoRA's magnitude are fp32 always: the magnitude multiplies the whole weight, and bf16's rounding of that
    is as large as a good part of what was learnt.

    Raises UserError `dtype_overflow`. Every magnitude must already be over the base's norms.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        assert module.magnitude is None or module.over_base, f"{name}: magnitude in PEFT's form"
        key = f"diffusion_model.{name}"
        for role, weight in module.weights.items():
            tensors[f"{key}.{_COMFY_NAMES[role]}"] = _cast(weight, module, dtype, name)
        tensors[f"{key}.alpha"] = torch.tensor(float(module.alpha))
        if module.magnitude is not None:
            tensors[f"{key}.dora_scale"] = module.magnitude[:, None].float()
    return tensors


def peft_tensors(modules: Modules, dtype: torch.dtype | None = None, *, prefix: str = PEFT_PREFIX) -> dict[str, Tensor]:
    """PEFT's names; alpha goes into the json, a magnitude is fp32. Raises UserError `dtype_overflow`."""
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        assert not module.over_base, f"{name}: magnitude in ComfyUI's form"
        key = f"{prefix}{name}"
        tensors[f"{key}.lora_A.weight"] = _cast(module.down, module, dtype, name)
        tensors[f"{key}.lora_B.weight"] = _cast(module.up, module, dtype, name)
        if module.magnitude is not None:
            tensors[f"{key}.lora_magnitude_vector"] = module.magnitude.float()
    return tensors


def _cast(value: Tensor, module: ModuleAdapter, dtype: torch.dtype | None, name: str) -> Tensor:
    wanted = dtype or module.dtype
    made = value.to(wanted)
    if not bool(torch.isfinite(made.float()).all()):
        raise UserError(
            "dtype_overflow",
            f"{name}: values up to {value.abs().max():.3g} do not fit into {str(wanted).removeprefix('torch.')}.",
            ["Choose bf16 or fp32."],
        )
    return made


def write_comfy(
    file: Path, modules: Mapping[str, ModuleAdapter], metadata: Mapping[str, str], dtype: torch.dtype | None = None
) -> None:
    """Write one ComfyUI file atomically. Raises UserError `dtype_overflow`, OSError."""
    tensors = comfy_tensors(modules, dtype)
    kept = _passed_on(metadata)
    if any(module.magnitude is not None for module in modules.values()):
        kept[DORA_KEY] = DORA_OVER_BASE
    _write(file, tensors, kept)


def write_peft(  # noqa: PLR0913 - what a PEFT folder states
    folder: Path,
    modules: Modules,
    metadata: Mapping[str, str],
    dtype: torch.dtype | None = None,
    *,
    dropout: float = 0.0,
    base: str | None = None,
) -> None:
    """Write a PEFT folder; an older one of this name is replaced whole.

    Raises UserError `dtype_overflow`, `lora_mixed` (PEFT knows no mixture of LoRA and DoRA), OSError.
    """
    use_dora = _all_dora(modules)
    tensors = peft_tensors(modules, dtype)
    settings = settings_json(
        {name: module.rank for name, module in modules.items()},
        {name: module.alpha for name, module in modules.items()},
        dropout=dropout,
        base=base,
        use_dora=use_dora,
    )
    with whole_folder(folder) as temporary:
        temporary.mkdir()
        _write(temporary / PEFT_WEIGHTS[0], tensors, _passed_on(metadata))
        (temporary / SETTINGS_FILE).write_text(settings, encoding="utf-8")
        fsync_file(temporary / SETTINGS_FILE)
        if folder.exists():
            discard_folder(folder)


def diffusers_modules(modules: Modules) -> dict[str, LoraModule]:
    """The same LoRA under diffusers' names, each qkv split. Raises UserError `lora_mismatch` for one that cannot be."""
    named: dict[str, LoraModule] = {}
    for module, whole in modules.items():
        if name := diffusers_module(module):
            named[name] = whole
            continue
        try:
            parts = split(whole)
        except ValueError as error:
            raise UserError("lora_mismatch", f"{module} cannot be split as diffusers has it: {error}.") from error
        named |= {str(diffusers_module(module, rows)): part for rows, part in parts.items()}
    return named


def write_diffusers(
    file: Path, modules: Modules, metadata: Mapping[str, str], dtype: torch.dtype | None = None
) -> None:
    """Write one file for diffusers atomically; `modules` as `diffusers_modules` names them.

    Raises UserError `dtype_overflow`, `lora_mixed` (as a PEFT folder), OSError.
    """
    stated = diffusers_json(
        {name: module.rank for name, module in modules.items()},
        {name: module.alpha for name, module in modules.items()},
        use_dora=_all_dora(modules),
    )
    tensors = peft_tensors(modules, dtype, prefix=DIFFUSERS_PART)
    _write(file, tensors, _passed_on(metadata) | {DIFFUSERS_KEY: stated})


def _passed_on(metadata: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key not in _OF_ONE_FORM}


def _all_dora(modules: Modules) -> bool:
    """Raises UserError `lora_mixed`: PEFT, which diffusers uses, knows no mixture of LoRA and DoRA."""
    plain = [name for name, module in modules.items() if module.magnitude is None]
    if 0 < len(plain) < len(modules):
        raise UserError(
            "lora_mixed",
            f"A LoRA for PEFT or diffusers is either all LoRA or all DoRA; here {listing(plain)} have no magnitude, "
            "others have one.",
            ["Write a ComfyUI file (.safetensors) instead."],
        )
    return not plain


def _write(file: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    entries = [Entry(name=name, dtype=value.dtype, shape=tuple(value.shape)) for name, value in tensors.items()]
    stated = {"format": "pt", _HASH_KEY: hash_tensors(entries, tensors.__getitem__)}
    write_tensors(file, entries, tensors.__getitem__, metadata={**metadata, **stated})


def over_base(modules: Mapping[str, ModuleAdapter], weight: Callable[[str], Tensor]) -> dict[str, ModuleAdapter]:
    """The same LoRA with DoRA magnitudes in ComfyUI's form; `weight(module)` is the base's weight, asked for once."""
    return {
        name: module if module.magnitude is None or module.over_base else _moved(name, module, weight(name))
        for name, module in modules.items()
    }


def over_moved(modules: Mapping[str, ModuleAdapter], weight: Callable[[str], Tensor]) -> dict[str, ModuleAdapter]:
    """The same LoRA with DoRA magnitudes in PEFT's form, over |W + delta|."""
    return {
        name: _moved(name, module, weight(name)) if module.over_base else module for name, module in modules.items()
    }


def _moved(name: str, module: ModuleAdapter, weight: Tensor) -> ModuleAdapter:
    """The other form of one DoRA module: its magnitude times |W| / |W + delta| or the inverse, row by row.

    Raises UserError `dora_zero_rows`: ComfyUI's form cannot state a row that the base has at zero.
    """
    assert module.magnitude is not None
    weight = weight.float()
    base, moved = row_norms(weight), row_norms(module.delta().add_(weight))
    old, new = (base, moved) if module.over_base else (moved, base)
    lost = (old == 0) | (new == 0)
    if bool((lost & (module.magnitude != 0)).any()):
        raise UserError(
            "dora_zero_rows",
            f"{name}: {int(lost.sum())} rows of the base are zero; ComfyUI's form of DoRA cannot state their change.",
            ["Merge it into the base instead."],
        )
    ratio = torch.where(lost, torch.zeros_like(new), new / old.clamp_min(torch.finfo(torch.float32).tiny))
    return replace(module, magnitude=module.magnitude * ratio, over_base=not module.over_base)
