"""Reading the LoRAs that people have for NewBie: PEFT folders and single files, whoever wrote them.

A LoRA is read whole or refused by name; what had to be assumed is told in `notes`. The scale of a module is
alpha / rank, of a LoKr with two whole factors 1. DoRA's magnitude m is meant as in the paper, by rows
W' = m * (W + delta) / |W + delta|, unless the file carries our mark that ComfyUI's form was written, which divides by
|W|.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from trainer_core.contracts.checkpoints import checkpoint_at
from trainer_core.contracts.errors import UserError
from trainer_core.model.lora_modules import LokrModule, LoraFile, LoraModule, ModuleAdapter, fused
from trainer_core.model.pickles import load_pickle
from trainer_core.planning.lora_facts import PEFT_WEIGHTS, newest_export, settings_of
from trainer_core.planning.lora_names import LOKR_ROLES, listing
from trainer_core.planning.lora_peft import SETTINGS_FILE, PeftSettings, SettingsError
from trainer_core.planning.lora_slots import (
    ACCEPTED,
    is_lokr,
    is_over_base,
    is_scaled,
    rank_of,
    read_keys,
    refuse_no_lora,
    slots_of,
    unreadable,
)
from trainer_core.planning.weight_files import NOT_WEIGHTS, PICKLES

_DTYPES = (
    torch.float64,
    torch.float32,
    torch.bfloat16,
    torch.float16,
    torch.float8_e4m3fn,
    torch.float8_e5m2,
)
_LUMINA_LAYERS = 26


def read_lora(path: Path) -> LoraFile:
    """Read a LoRA file, a PEFT folder, a run folder's newest export or a checkpoint's; tensors are copied into memory.

    Raises UserError: `lora_unreadable` (absent, damaged, contradictory), `lora_unsupported` (another kind of
    adapter, or a LoRA for another model).
    """
    chosen = newest_export(path)
    notes = [_chosen(path, chosen)] if chosen != path else []
    file = _weight_file(chosen)
    try:
        refuse_no_lora(file)
        with _opened(file) as (names, read, metadata):
            keys = read_keys(file, names)
            settings = settings_of(file, keys, metadata)
            tensors = {name: _float_tensor(file, name, read(name)) for name in keys}
    except (OSError, SettingsError, SafetensorError) as error:
        raise unreadable(chosen, str(error)) from error
    names_of = slots_of(file, keys, lambda name: tuple(tensors[name].shape))
    slots = {place: {role: tensors[name] for role, name in slot.items()} for place, slot in names_of.items()}
    modules = _Assembly(file, settings, metadata, notes).modules(slots)
    _note_origin(file, modules, metadata, notes)
    return LoraFile(path=file, modules=modules, metadata=metadata, notes=tuple(notes))


def _chosen(path: Path, export: Path) -> str:
    if checkpoint_at(path):
        return f"{path} is a checkpoint, which keeps no alpha; the export of its step, {export.name}, is taken."
    return f"{path}: its newest export is {export.name}; that one is taken."


def _weight_file(path: Path) -> Path:
    if path.is_file():
        return path
    if not path.exists():
        raise unreadable(path, "it does not exist")
    found = next((path / name for name in PEFT_WEIGHTS if (path / name).is_file()), None)
    if found is None:
        inner = sorted(
            f.name
            for f in path.iterdir()
            if (f / PEFT_WEIGHTS[0]).is_file() or (f.suffix == ".safetensors" and not NOT_WEIGHTS.match(f.name))
        )
        hint = [f"It holds {listing(inner)}: give one of these."] if inner else []
        raise unreadable(path, "the folder has neither adapter_model.safetensors nor exports", [*hint, ACCEPTED])
    return found


Opened = tuple[Sequence[str], Callable[[str], Tensor], dict[str, str]]


@contextmanager
def _opened(file: Path) -> Iterator[Opened]:
    """Names, a reader of one tensor, metadata; nothing is read before it is asked for."""
    if file.suffix.lower() in PICKLES:
        tensors = _unpickled(file)
        yield list(tensors), tensors.__getitem__, {}
        return
    with safe_open(file, framework="pt") as source:
        yield list(source.keys()), source.get_tensor, dict(source.metadata() or {})


def _unpickled(file: Path) -> dict[str, Tensor]:
    """The state dict of a pickle, or of upstream's resume file."""
    try:
        content = load_pickle(file)
    except UserError as error:
        raise UserError("lora_unreadable", f"{error}", [*error.hints, ACCEPTED]) from error
    for name in ("adapter_state_dict", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(v, Tensor) for v in content.values()):
        raise unreadable(file, "it is not a pickle of named tensors")
    return {str(name): value for name, value in content.items()}


def _float_tensor(file: Path, name: str, value: Tensor) -> Tensor:
    """A copy in the stored dtype; alpha may be a whole number."""
    is_alpha = name.endswith(".alpha")
    if value.dtype not in _DTYPES and not (is_alpha and value.dtype in (torch.int64, torch.int32, torch.int16)):
        raise unreadable(file, f"{listing([name])} is stored as {value.dtype}; allowed: floating point")
    if is_alpha and value.numel() != 1:
        raise unreadable(file, f"{listing([name])} holds {value.numel()} numbers instead of one")
    # A finite sum has finite terms only; the exact test is slow over thousands of small tensors.
    if not math.isfinite(float(value.float().sum())) and not bool(torch.isfinite(value.float()).all()):
        raise unreadable(file, f"{listing([name])} holds NaN or infinity", ["The training that wrote it diverged."])
    return value.clone()


Slots = dict[tuple[str, str], dict[str, Tensor]]


class _Assembly:
    """Puts modules together from their tensors and notes what had to be assumed."""

    def __init__(
        self, file: Path, settings: PeftSettings | None, metadata: Mapping[str, str], notes: list[str]
    ) -> None:
        self.file, self.settings, self.metadata, self.notes = file, settings, metadata, notes
        self.over_base = is_over_base(file, metadata)

    def modules(self, slots: Slots) -> dict[str, ModuleAdapter]:
        if self.settings:
            for slot in slots.values():
                slot.pop("alpha", None)  # PEFT does not look at it either
        self._note_alphas(slots)
        whole: dict[str, ModuleAdapter] = {}
        split: dict[str, dict[str, LoraModule]] = {}
        for (module, rows), slot in slots.items():
            if is_lokr(slot):
                whole[module] = self._lokr(module, slot)
            elif rows:
                split.setdefault(module, {})[rows] = self._lora(module, rows, slot)
            else:
                whole[module] = self._lora(module, rows, slot)
        for module, parts in split.items():
            if module in whole:
                raise unreadable(self.file, f"it holds {module} twice, fused and as to_q, to_k, to_v")
            try:
                whole[module] = fused(parts)
            except ValueError as error:
                raise unreadable(self.file, f"{module} is split into to_q, to_k, to_v, and {error}") from error
        if split:
            self.notes.append(
                f"to_q, to_k, to_v of {len(split)} blocks were joined exactly into the fused qkv that NewBie has; "
                "ComfyUI cannot load the split form (24 query heads, 8 key and value heads)."
            )
        return dict(sorted(whole.items()))

    def _lora(self, module: str, rows: str, slot: Mapping[str, Tensor]) -> LoraModule:
        down, up = slot["down"], slot["up"]
        if self.settings:
            self._check_settings(module, rows, down.shape[0], "magnitude" in slot)
        return LoraModule(
            down=down.float(), up=up.float(), alpha=self._alpha(module, rows, down.shape[0], slot.get("alpha")),
            **self._common(slot, [down, up]),
        )  # fmt: skip

    def _lokr(self, module: str, slot: Mapping[str, Tensor]) -> LokrModule:
        factors = {role: slot[role] for role in LOKR_ROLES if role in slot}
        rank = rank_of({role: tuple(tensor.shape) for role, tensor in factors.items()})
        # Where it does not count it is kept as it is, whatever it says.
        counts = is_scaled(slot)
        alpha = self._alpha(module, "", rank, slot.get("alpha")) if counts else float(slot.get("alpha", torch.ones(1)))
        return LokrModule(
            factors={role: tensor.float() for role, tensor in factors.items()}, alpha=alpha,
            scale=alpha / rank if counts else 1.0, **self._common(slot, list(factors.values())),
        )  # fmt: skip

    def _common(self, slot: Mapping[str, Tensor], weights: Sequence[Tensor]) -> dict[str, Any]:
        """What all kinds of adapters have."""
        magnitude = slot.get("magnitude")
        dtypes = {tensor.dtype for tensor in weights}
        return {
            "magnitude": None if magnitude is None else magnitude.float().reshape(-1),
            "over_base": self.over_base and magnitude is not None,
            "dtype": weights[0].dtype if len(dtypes) == 1 else torch.float32,
        }

    def _check_settings(self, module: str, rows: str, rank: int, has_magnitude: bool) -> None:
        assert self.settings
        stated = self.settings.rank_of(module, rows)
        if stated is not None and stated != rank:
            raise unreadable(self.file, f"{module} has rank {rank}, but {self.settings.source} states {stated}")
        if self.settings.use_dora != has_magnitude:
            told = "states use_dora" if self.settings.use_dora else "does not state use_dora"
            raise unreadable(
                self.file, f"{self.settings.source} {told}, but {module} has {'a' if has_magnitude else 'no'} magnitude"
            )

    def _alpha(self, module: str, rows: str, rank: int, stored: Tensor | None) -> float:
        if self.settings:
            return self.settings.alpha_of(module, rank, rows)
        if stored is None:
            return self._ratio_in_metadata() * rank
        alpha = _shortest(stored)
        if alpha <= 0:
            raise unreadable(self.file, f"{module}: alpha is {alpha:g}; allowed: above 0")
        return alpha

    def _ratio_in_metadata(self) -> float:
        """lora_alpha / lora_rank, which the NewBie loader node applies; else 1, as every reader takes it."""
        try:
            ratio = float(self.metadata["lora_alpha"]) / float(self.metadata["lora_rank"])
        except (KeyError, ValueError, ZeroDivisionError):
            return 1.0
        return ratio if 0 < ratio < math.inf else 1.0

    def _note_alphas(self, slots: Slots) -> None:
        without = [module for (module, _), slot in slots.items() if "alpha" not in slot and is_scaled(slot)]
        if self.settings:
            if self.settings.source != SETTINGS_FILE or self.file.name not in PEFT_WEIGHTS:
                self.notes.append(f"No alpha is stored; it is taken from {self.settings.source}.")
            return
        if not without:
            return
        if (ratio := self._ratio_in_metadata()) != 1:
            self.notes.append(f"No alpha is stored; the metadata's lora_alpha / lora_rank = {ratio:g} is the scale.")
            return
        if len(without) < len(slots):
            self.notes.append(f"{len(without)} of {len(slots)} modules store no alpha; their scale is 1.")
            return
        self.notes.append(self._no_alpha(any("magnitude" in slot for slot in slots.values())))

    def _no_alpha(self, dora: bool) -> str:
        if self.file.name in PEFT_WEIGHTS:
            return (
                f"{SETTINGS_FILE} is not beside {self.file.name}, and with it the alpha is lost: the scale is taken as "
                "1, which is right only if alpha was the rank. Put the json beside it."
            )
        twin = self.file.with_suffix("")
        better = f" Its PEFT folder {twin} states it: give that." if (twin / SETTINGS_FILE).is_file() else ""
        text = "The file stores no alpha, so its scale is 1, as in ComfyUI."
        if dora:
            return f"{text} If alpha was not the rank, this is not what was trained; no strength mends a DoRA.{better}"
        strength = "strength alpha / rank, or alpha / sqrt(rank) for rsLoRA (the fork's use_rslora)"
        return f"{text} If alpha was not the rank, it needs {strength}.{better}"


def _shortest(value: Tensor) -> float:
    """The shortest decimal that is this number in its dtype: 0.1 is stored as fp32 and comes back as 0.1."""
    number = value.item()
    return float(str(np.float32(number))) if value.dtype == torch.float32 else float(number)


def _note_origin(
    file: Path, modules: Mapping[str, ModuleAdapter], metadata: Mapping[str, str], notes: list[str]
) -> None:
    """Lumina Image 2.0 has NewBie's names and shapes, with 26 layers instead of 36."""
    layers = {int(name.split(".")[1]) for name in modules if name.startswith("layers.")}
    stated = json.dumps([metadata.get(k, "") for k in ("modelspec.architecture", "ss_base_model_version")]).lower()
    if "lumina" in stated or (len(layers) == _LUMINA_LAYERS and max(layers) == _LUMINA_LAYERS - 1):
        notes.append(f"{file.name} looks like a LoRA for Lumina Image 2.0: it fits NewBie's shapes, not its training.")
