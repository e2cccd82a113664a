"""What a LoRA is, from its names and header alone: no tensor is read but the alphas, single numbers.

`trainer_core.model.lora_files` reads the same files whole, by the same rules.
"""

import math
import struct
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal

from trainer_core.contracts.checkpoints import checkpoint_at
from trainer_core.contracts.forms import LoraForm
from trainer_core.contracts.run_names import checkpoint_step, export_step
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.headers import Header, HeaderProblem, StoredTensor, read_header
from trainer_core.planning.lora_names import LOKR_ROLES, Key, in_diffusers_names, listing
from trainer_core.planning.lora_peft import (
    PEFT_PREFIX,
    SETTINGS_FILE,
    PeftSettings,
    SettingsError,
    read_settings,
    require_kind,
    settings_in,
)
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
from trainer_core.planning.weight_files import SUFFIX

Form = LoraForm | Literal["other"]

PEFT_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
# A LoRA over every module of the real model has a header of about 200 KB, metadata apart.
MAX_HEADER_BYTES = 16 * 2**20
MAX_METADATA_CHARACTERS = 2**20
# How the format's words for numbers are unpacked; bf16 is the upper half of an fp32.
_NUMBERS = MappingProxyType(
    {"F64": "<d", "F32": "<f", "F16": "<e", "BF16": "<f", "I64": "<q", "I32": "<i", "I16": "<h"}
)
_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})


@dataclass(frozen=True, kw_only=True)
class LoraFacts:
    """One LoRA.

    Attributes:
        path: the weight file that was looked at.
        form: "other" for names that none of PEFT, ComfyUI and diffusers writes, which are read all the same.
        lokr: it is a LoKr.
        rank, alpha: of most modules; `mixed` tells that some have others. alpha None: none is stated. A LoKr whose
            factors are whole has rank 0, and no alpha counts.
        dora: whether it carries magnitudes (DoRA).
        over_base: these are over the base's row norms, as in ComfyUI's form (`lora_slots.is_over_base`).
        modules: how many modules of the transformer it changes.
        parameters: numbers in its halves or factors and magnitudes.
        bytes: size of the file.
        metadata: the file's free text, cut to MAX_METADATA_CHARACTERS in all. Written by others: escape it.
        more_metadata: how many entries more the file has.
    """

    path: Path
    form: Form
    lokr: bool
    rank: int
    alpha: float | None
    mixed: bool
    dora: bool
    over_base: bool
    modules: int
    parameters: int
    bytes: int
    metadata: Mapping[str, str]
    more_metadata: int


def newest_export(path: Path) -> Path:
    """The LoRA that `path` means: itself, or a run folder's newest export (its PEFT folder where no file is left).

    A checkpoint means its run's export of the same step. Raises UserError `lora_unreadable` where there is none: a
    checkpoint's own file keeps no alpha.
    """
    if (checkpoint := checkpoint_at(path)) is not None:
        return _export_of(checkpoint, path)
    if not path.is_dir() or any((path / name).is_file() for name in PEFT_WEIGHTS):
        return path
    return max(_exports(RunDir(path)), key=export_order, default=path)


def _exports(run: RunDir) -> list[Path]:
    files = list(run.exports.glob(f"*{SUFFIX}"))
    return files or [file.parent for name in PEFT_WEIGHTS for file in run.exports.glob(f"*/{name}")]


def _export_of(checkpoint: Path, path: Path) -> Path:
    exports = _exports(RunDir(checkpoint.parent.parent))
    step = checkpoint_step(checkpoint.name)
    same = [export for export in exports if step is not None and export_step(export.name) == step]
    if same:
        return max(same, key=export_order)
    newest = sorted(exports, key=export_order, reverse=True)
    hint = f"Give one of its run's exports: {listing([f'exports/{e.name}' for e in newest])}." if newest else ACCEPTED
    raise unreadable(path, "it is a checkpoint, which keeps no alpha, and its step has no export", [hint])


def export_order(path: Path) -> tuple[int, str]:
    """Sorts the exports of a run by step."""
    step = export_step(path.name)
    return (-1 if step is None else step), path.name


def lora_facts(path: Path) -> LoraFacts:
    """Look at a .safetensors file, a PEFT folder or a run folder's newest export: milliseconds, nothing is run.

    Raises UserError: `lora_unreadable` (absent, damaged, contradictory, a pickle), `lora_unsupported` (another kind
    of adapter, or a LoRA for another model).
    """
    chosen = newest_export(path)
    file = chosen / PEFT_WEIGHTS[0] if chosen.is_dir() else chosen
    try:
        refuse_no_lora(_safetensors(file, chosen))
        header = read_header(file, MAX_HEADER_BYTES)
        keys = read_keys(file, list(header.tensors))
        _refuse_odd_dtypes(file, keys, header)
        slots = slots_of(file, keys, lambda name: header.tensors[name].shape)
        stored = {place: {role: header.tensors[n] for role, n in slot.items()} for place, slot in slots.items()}
        alphas = _alphas(file, stored, settings_of(file, keys, header.metadata))
        over_base = is_over_base(file, header.metadata)
        size = file.stat().st_size
    except (OSError, HeaderProblem, SettingsError) as error:
        raise unreadable(chosen, str(error)) from error
    ranks = Counter(rank_of({role: tensor.shape for role, tensor in slot.items()}) for slot in stored.values())
    metadata = _cut(header.metadata)
    weights = [tensor for slot in stored.values() for role, tensor in slot.items() if role != "alpha"]
    return LoraFacts(
        path=file,
        form=_form(keys),
        lokr=any(map(is_lokr, stored.values())),
        rank=ranks.most_common(1)[0][0],
        alpha=alphas.most_common(1)[0][0] if alphas else None,
        mixed=len(ranks) > 1 or len(alphas) > 1,
        dora=any("magnitude" in slot for slot in slots.values()),
        over_base=over_base,
        modules=len({module for module, _ in slots}),
        parameters=sum(math.prod(tensor.shape) for tensor in weights),
        bytes=size,
        metadata=metadata,
        more_metadata=len(header.metadata) - len(metadata),
    )


def _safetensors(file: Path, chosen: Path) -> Path:
    """Only what holds no code is looked at. Raises UserError `lora_unreadable`."""
    if not chosen.exists():
        raise unreadable(chosen, "it does not exist")
    if not file.is_file():
        raise unreadable(chosen, f"the folder has neither {PEFT_WEIGHTS[0]} nor exports")
    if file.suffix.lower() != SUFFIX:
        hint = f"Convert it to {SUFFIX} where it comes from: other kinds of files can carry programs."
        raise unreadable(chosen, f"its name does not end in {SUFFIX}", (hint, ACCEPTED))
    return file


Stored = Mapping[tuple[str, str], Mapping[str, StoredTensor]]


def _refuse_odd_dtypes(file: Path, keys: Mapping[str, Key], header: Header) -> None:
    for name, key in keys.items():
        dtype = header.tensors[name].dtype
        if dtype not in _FLOATS and not (key.role == "alpha" and dtype in _NUMBERS):
            raise unreadable(file, f"{listing([name])} is stored as {dtype}; allowed: floating point")


def settings_of(file: Path, keys: Mapping[str, Key], metadata: Mapping[str, str]) -> PeftSettings | None:
    """What states the alphas in place of the tensors: the json beside a PEFT file, or diffusers' metadata; else None.

    A renamed file's json counts where its tensors state no alpha and no other file there can be meant by it.
    Raises SettingsError, OSError.
    """
    beside = file.with_name(SETTINGS_FILE)
    if any(key.role in LOKR_ROLES for key in keys.values()):
        # The upstream trainer's LoKr states its alphas in the tensors; PEFT's own would be scaled in another way.
        if file.name in PEFT_WEIGHTS and beside.is_file():
            require_kind(beside, "LYCORIS")
        return None
    if file.name in PEFT_WEIGHTS and beside.is_file():
        return read_settings(beside)
    if any(key.role == "alpha" for key in keys.values()):
        return None
    alone = not any(file.with_name(name).is_file() for name in PEFT_WEIGHTS)
    if alone and all(name.startswith(PEFT_PREFIX) for name in keys) and beside.is_file():
        return read_settings(beside)
    return settings_in(metadata, own_names=in_diffusers_names(keys))


def _alphas(file: Path, slots: Stored, settings: PeftSettings | None) -> Counter[float]:
    """How many modules have which alpha; with rsLoRA the one that gives the same scale without it."""
    if settings is not None:
        return Counter(settings.alpha_of(module, slot["down"].shape[0], rows) for (module, rows), slot in slots.items())
    alphas: Counter[float] = Counter()
    with open(file, "rb") as stream:
        for (module, _), slot in slots.items():
            if not is_scaled(slot) or not _is_number(slot.get("alpha")):
                continue
            alpha = _number(stream, slot["alpha"])
            if not 0 < alpha < math.inf:
                raise unreadable(file, f"{module}: alpha is {alpha:g}; allowed: above 0")
            alphas[alpha] += 1
    return alphas


def _is_number(tensor: StoredTensor | None) -> bool:
    return (
        tensor is not None
        and tensor.dtype in _NUMBERS
        and tensor.end - tensor.start == (2 if tensor.dtype == "BF16" else struct.calcsize(_NUMBERS[tensor.dtype]))
    )


def _number(stream: BinaryIO, tensor: StoredTensor) -> float:
    stream.seek(tensor.start)
    data = stream.read(tensor.end - tensor.start)
    if tensor.dtype == "BF16":
        data = bytes(2) + data
    # Six digits: 0.1 is stored as fp32 and shall be shown as 0.1.
    return float(f"{struct.unpack(_NUMBERS[tensor.dtype], data)[0]:.6g}")


def _form(keys: Mapping[str, Key]) -> Form:
    if all(name.startswith(PEFT_PREFIX) for name in keys):
        return "peft"
    if in_diffusers_names(keys):
        return "diffusers"
    ours = all(name.startswith("diffusion_model.") for name in keys)
    return "comfyui" if ours and any(".lora_down." in name or ".lokr_" in name for name in keys) else "other"


def _cut(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Shortest first, so that one long entry takes the room of no other; the one that fills the room ends in "…"."""
    room = MAX_METADATA_CHARACTERS
    kept: dict[str, str] = {}
    for name, value in sorted(metadata.items(), key=lambda entry: len(entry[0]) + len(entry[1])):
        room -= len(name)
        if room < min(len(value), 1):
            break
        kept[name] = value if len(value) <= room else value[: room - 1] + "…"
        room -= len(kept[name])
    return MappingProxyType(kept)
