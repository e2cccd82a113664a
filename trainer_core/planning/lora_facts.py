"""What a LoRA is, from its names and header alone: no tensor is read but the alphas, single numbers.

`trainer_core.model.lora_files` reads the same files whole, by the same rules.
"""

import math
import struct
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Literal

from trainer_core.contracts.checkpoints import checkpoint_at
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import LoraForm
from trainer_core.contracts.run_names import checkpoint_step, export_step
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.headers import Header, HeaderProblem, StoredTensor, read_header
from trainer_core.planning.lora_names import Key, in_diffusers_names, listing, read_names
from trainer_core.planning.lora_peft import (
    PEFT_PREFIX,
    SETTINGS_FILE,
    PeftSettings,
    SettingsError,
    read_settings,
    settings_in,
)
from trainer_core.planning.weight_files import SUFFIX

Form = LoraForm | Literal["other"]

PEFT_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
ACCEPTED = (
    "A LoRA is a .safetensors file, a PEFT folder (adapter_model.safetensors, adapter_config.json) or a run folder."
)
# A LoRA over every module of the real model has a header of about 200 KB, metadata apart.
MAX_HEADER_BYTES = 16 * 2**20
MAX_METADATA_CHARACTERS = 2**20
_Z_IMAGE_WIDTH = 3840
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
        rank, alpha: of most modules; `mixed` tells that some have others. alpha None: none is stated.
        dora: whether it carries magnitudes (DoRA).
        modules: how many modules of the transformer it changes.
        parameters: numbers in its two halves and magnitudes.
        bytes: size of the file.
        metadata: the file's free text, cut to MAX_METADATA_CHARACTERS in all. Written by others: escape it.
    """

    path: Path
    form: Form
    rank: int
    alpha: float | None
    mixed: bool
    dora: bool
    modules: int
    parameters: int
    bytes: int
    metadata: Mapping[str, str]


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
        header = read_header(_safetensors(file, chosen), MAX_HEADER_BYTES)
        keys = read_keys(file, list(header.tensors))
        _refuse_odd_dtypes(file, keys, header)
        slots = slots_of(file, keys, lambda name: header.tensors[name].shape)
        stored = {place: {role: header.tensors[n] for role, n in slot.items()} for place, slot in slots.items()}
        alphas = _alphas(file, stored, settings_of(file, keys, header.metadata))
        size = file.stat().st_size
    except (OSError, HeaderProblem, SettingsError) as error:
        raise unreadable(chosen, str(error)) from error
    ranks = Counter(slot["down"].shape[0] for slot in stored.values())
    weights = [tensor for slot in stored.values() for role, tensor in slot.items() if role != "alpha"]
    return LoraFacts(
        path=file,
        form=_form(keys),
        rank=ranks.most_common(1)[0][0],
        alpha=alphas.most_common(1)[0][0] if alphas else None,
        mixed=len(ranks) > 1 or len(alphas) > 1,
        dora=any("magnitude" in slot for slot in slots.values()),
        modules=len({module for module, _ in slots}),
        parameters=sum(math.prod(tensor.shape) for tensor in weights),
        bytes=size,
        metadata=_cut(header.metadata),
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


def unreadable(path: Path, reason: str, hints: Sequence[str] = (ACCEPTED,)) -> UserError:
    """`reason` is one clause."""
    return UserError("lora_unreadable", f"{path} cannot be read as a LoRA: {reason}.", hints)


def read_keys(file: Path, names: Sequence[str]) -> Mapping[str, Key]:
    """What each name means. Raises UserError `lora_unsupported`, `lora_unreadable` where one means nothing here."""
    found = read_names(names)
    if found.reason:
        code = "lora_unsupported" if found.known_kind else "lora_unreadable"
        raise UserError(
            code,
            f"{file} cannot be read as a LoRA: {found.reason}.",
            ["Nothing of it was used. Plain LoRA and DoRA for NewBie's transformer can be read."],
        )
    return found.keys


Slots = dict[tuple[str, str], dict[str, str]]
"""(module, rows) -> role -> name of the tensor, as `lora_names.Key` names them."""


def slots_of(file: Path, keys: Mapping[str, Key], shape_of: Callable[[str], tuple[int, ...]]) -> Slots:
    """Which tensors belong together. Raises UserError for what is halved, double, misshapen or for another model."""
    slots: Slots = {}
    for name, key in keys.items():
        slot = slots.setdefault((key.module, key.rows), {})
        if key.role in slot:
            raise unreadable(file, f"{key.module} has its {key.role} twice, once as {listing([name])}")
        slot[key.role] = name
    halves = [module for (module, _), slot in slots.items() if not {"down", "up"} <= slot.keys()]
    if halves:
        raise unreadable(file, f"one half of the pair is missing for {listing(sorted(halves))}")
    widths: dict[str, int] = {}
    for (module, _), slot in slots.items():
        if problem := shape_problem(**{role: shape_of(name) for role, name in slot.items()}):
            raise unreadable(file, f"{module}: {problem}")
        widths[module] = shape_of(slot["down"])[1]
    if wrong := _other_width(file, widths):
        raise wrong
    return slots


Stored = Mapping[tuple[str, str], Mapping[str, StoredTensor]]


def _refuse_odd_dtypes(file: Path, keys: Mapping[str, Key], header: Header) -> None:
    for name, key in keys.items():
        dtype = header.tensors[name].dtype
        if dtype not in _FLOATS and not (key.role == "alpha" and dtype in _NUMBERS):
            raise unreadable(file, f"{listing([name])} is stored as {dtype}; allowed: floating point")


def shape_problem(
    down: tuple[int, ...],
    up: tuple[int, ...],
    alpha: tuple[int, ...] = (),
    magnitude: tuple[int, ...] | None = None,
) -> str:
    """Why tensors of these shapes are no adapter of a linear layer; "" where they are one."""
    if len(down) == 4 or len(up) == 4:
        return "it is a LoRA for convolutions, of which NewBie has none"
    if len(down) != 2 or len(up) != 2:
        return f"its halves have shapes {_dims(down)} and {_dims(up)}; expected: two dimensions each"
    if down[0] != up[1]:
        return f"its halves have different ranks, {down[0]} and {up[1]}"
    if 0 in (*down, *up):
        return f"its halves are empty ({list(down)}, {list(up)})"
    if magnitude is not None and magnitude not in ((up[0],), (up[0], 1)):
        columns = " (over input channels: LyCORIS without wd_on_out)" if magnitude[-1:] == (down[1],) else ""
        return f"its DoRA magnitude has shape {list(magnitude)}{columns}; expected: [{up[0]}]"
    return ""


def _dims(shape: tuple[int, ...]) -> str:
    """A file may state thousands of dimensions; a sentence shows eight."""
    return str(list(shape)) if len(shape) <= 8 else f"{list(shape[:8])}…"


def _other_width(file: Path, widths: Mapping[str, int]) -> UserError | None:
    """`lora_unsupported` for a LoRA for Z-Image: the same names, wider blocks. widths: module -> its input's."""
    wide = [
        name
        for name, width in widths.items()
        if name.endswith(("attention.qkv", "attention.out", "feed_forward.w1")) and width == _Z_IMAGE_WIDTH
    ]
    if not wide:
        return None
    return UserError(
        "lora_unsupported",
        f"{file} looks like a LoRA for Z-Image, not for NewBie: {listing(wide)} have width {_Z_IMAGE_WIDTH}.",
        ["NewBie's blocks are 2304 wide."],
    )


def settings_of(file: Path, keys: Mapping[str, Key], metadata: Mapping[str, str]) -> PeftSettings | None:
    """What states the alphas in place of the tensors: the json beside a PEFT file, or diffusers' metadata; else None.

    A renamed file's json counts where its tensors state no alpha and no other file there can be meant by it.
    Raises SettingsError, OSError.
    """
    beside = file.with_name(SETTINGS_FILE)
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
            if not _is_number(slot.get("alpha")):
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
    return "comfyui" if ours and any(".lora_down." in name for name in keys) else "other"


def _cut(metadata: Mapping[str, str]) -> Mapping[str, str]:
    """Until the limit is reached; what lies beyond is left away."""
    room = MAX_METADATA_CHARACTERS
    kept: dict[str, str] = {}
    for name, value in metadata.items():
        shown = value[: max(0, room - len(name))]
        room -= len(name) + len(shown)
        if room <= 0:
            break
        kept[name] = shown
    return MappingProxyType(kept)
