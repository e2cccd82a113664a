"""Which tensors of a LoRA file make up a module's adapter, and whether their shapes can be one; from names and shapes.

A LoRA is two halves, B A; a LoKr is two factors whose Kronecker product is the change, each whole or a product a b.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.planning.lora_names import LOKR_ROLES, Key, listing, read_names
from trainer_core.planning.weight_files import refuse_stand_in

ACCEPTED = (
    "A LoRA is a .safetensors file, a PEFT folder (adapter_model.safetensors, adapter_config.json) or a run folder."
)
DORA_KEY = "newbie_dora_norm"
DORA_OVER_BASE = "base"
_FACTORS = ("w1", "w2")
_Z_IMAGE_WIDTH = 3840

Shape = tuple[int, ...]
Slots = dict[tuple[str, str], dict[str, str]]
"""(module, rows) -> role -> name of the tensor, as `lora_names.Key` names them."""


def unreadable(path: Path, reason: str, hints: Sequence[str] = (ACCEPTED,)) -> UserError:
    """`reason` is one clause."""
    return UserError("lora_unreadable", f"{path} cannot be read as a LoRA: {reason}.", hints)


def refuse_no_lora(file: Path) -> None:
    """Raises UserError `lora_unreadable` for what often lies under a LoRA's name; OSError."""
    if not file.stat().st_size:
        raise unreadable(file, "it is empty: the download went wrong", ["Fetch the file again."])
    try:
        refuse_stand_in(file)
    except UserError as error:
        raise UserError("lora_unreadable", error.message, error.hints) from error


def read_keys(file: Path, names: Sequence[str]) -> Mapping[str, Key]:
    """What each name means. Raises UserError `lora_unsupported`, `lora_unreadable` where one means nothing here."""
    found = read_names(names)
    if found.reason:
        code = "lora_unsupported" if found.known_kind else "lora_unreadable"
        raise UserError(
            code,
            f"{file} cannot be read as a LoRA: {found.reason}.",
            ["Nothing of it was used. LoRA, DoRA and LoKr for NewBie's transformer can be read."],
        )
    return found.keys


def slots_of(file: Path, keys: Mapping[str, Key], shape_of: Callable[[str], Shape]) -> Slots:
    """Which tensors belong together. Raises UserError for what is halved, double, misshapen or for another model."""
    slots: Slots = {}
    for name, key in keys.items():
        slot = slots.setdefault((key.module, key.rows), {})
        if key.role in slot:
            raise unreadable(file, f"{key.module} has its {key.role} twice, once as {listing([name])}")
        slot[key.role] = name
    _require_whole(file, slots)
    widths: dict[str, int] = {}
    for (module, _), slot in slots.items():
        shapes = {role: shape_of(name) for role, name in slot.items()}
        if problem := shape_problem(shapes):
            raise unreadable(file, f"{module}: {problem}")
        widths[module] = weight_shape(shapes)[1]
    if wrong := _other_width(file, widths):
        raise wrong
    return slots


def is_lokr(slot: Mapping[str, object]) -> bool:
    """Whether tensors of these roles are a LoKr."""
    return any(role in slot for role in LOKR_ROLES)


def is_scaled(slot: Mapping[str, object]) -> bool:
    """Whether alpha counts: a LoKr whose factors are both whole has no rank to divide it by (LyCORIS, ComfyUI)."""
    return not all(factor in slot for factor in _FACTORS)


def require_form(path: Path, form: str, *, lokr: bool) -> None:
    """Raises UserError `lora_unsupported` where a LoKr is to become a `LoraForm` that has no place for one."""
    if lokr and form != "comfyui":
        raise UserError(
            "lora_unsupported",
            f"{path} is a LoKr, which the {form} form cannot hold.",
            ["Choose ComfyUI's form, or merge it into the base."],
        )


def is_over_base(file: Path, metadata: Mapping[str, str]) -> bool:
    """Whether a DoRA's magnitudes are over the row norms of the base (ComfyUI's form), not of base + delta.

    The mark alone says so: others write ComfyUI's names with magnitudes as in the paper. Raises UserError
    `lora_unreadable` for a mark that is not known.
    """
    mark = metadata.get(DORA_KEY)
    if mark not in (None, DORA_OVER_BASE):
        raise unreadable(file, f"its metadata states {DORA_KEY} = {listing([mark])}, which is not known")
    return mark == DORA_OVER_BASE


def moves_magnitudes(form: str, *, over_base: bool) -> bool:
    """Whether a DoRA's magnitudes are other numbers in that `LoraForm`, which takes the base's weights to reckon."""
    return over_base != (form == "comfyui")


def rank_of(shapes: Mapping[str, Shape]) -> int:
    """What alpha is divided by; 0 for a LoKr whose factors are both whole."""
    if "down" in shapes:
        return shapes["down"][0]
    # As ComfyUI and LyCORIS, which give both products the same rank.
    return next((shapes[role][0] for role in ("w2_b", "w1_b") if role in shapes), 0)


def weight_shape(shapes: Mapping[str, Shape]) -> tuple[int, int]:
    """(out, in) of the weight that tensors of these shapes, by role, change."""
    if "down" in shapes:
        return shapes["up"][0], shapes["down"][1]
    first, second = (_factor_shape(shapes, factor) for factor in _FACTORS)
    return first[0] * second[0], first[1] * second[1]


def _factor_shape(shapes: Mapping[str, Shape], factor: str) -> tuple[int, int]:
    whole = shapes.get(factor)
    rows, columns = (whole, whole) if whole is not None else (shapes[f"{factor}_a"], shapes[f"{factor}_b"])
    return rows[0], columns[1]


def _require_whole(file: Path, slots: Slots) -> None:
    """Raises UserError for an adapter whose parts are not all there, or which cannot be put together."""
    halves = [module for (module, _), slot in slots.items() if not is_lokr(slot) and not {"down", "up"} <= slot.keys()]
    if halves:
        raise unreadable(file, f"one half of the pair is missing for {listing(sorted(halves))}")
    lokrs = {place: slot for place, slot in slots.items() if is_lokr(slot)}
    broken = [module for (module, _), slot in lokrs.items() if not _has_both_factors(slot)]
    if broken:
        raise unreadable(file, f"the two factors of a LoKr are not there once each for {listing(sorted(broken))}")
    split = [module for module, rows in lokrs if rows]
    if split:
        raise unreadable(file, f"it is a LoKr of to_q, to_k, to_v, which has no fused form: {listing(sorted(split))}")


def _has_both_factors(slot: Mapping[str, str]) -> bool:
    forms = [{role for role in slot if role.startswith(factor)} for factor in _FACTORS]
    right = [form in ({factor}, {f"{factor}_a", f"{factor}_b"}) for form, factor in zip(forms, _FACTORS, strict=True)]
    return all(right) and not {"down", "up"} & slot.keys()


def shape_problem(shapes: Mapping[str, Shape]) -> str:
    """Why tensors of these shapes, by role, are no adapter of a linear layer; "" where they are one."""
    parts = {role: shape for role, shape in shapes.items() if role not in ("alpha", "magnitude")}
    if any(len(shape) == 4 for shape in parts.values()):
        return "it is a LoRA for convolutions, of which NewBie has none"
    told = " and ".join(map(_dims, parts.values()))
    if any(len(shape) != 2 for shape in parts.values()):
        return f"its halves have shapes {told}; expected: two dimensions each"
    pairs = (("up", "down"), ("w1_a", "w1_b"), ("w2_a", "w2_b"))
    for left, right in ((parts[a], parts[b]) for a, b in pairs if a in parts):
        if right[0] != left[1]:
            return f"its halves have different ranks, {right[0]} and {left[1]}"
    if any(0 in shape for shape in parts.values()):
        return f"its halves are empty ({told})"
    return _magnitude_problem(shapes.get("magnitude"), *weight_shape(parts))


def _magnitude_problem(magnitude: Shape | None, rows: int, columns: int) -> str:
    if magnitude is None or magnitude in ((rows,), (rows, 1)):
        return ""
    over_columns = " (over input channels: LyCORIS without wd_on_out)" if magnitude[-1:] == (columns,) else ""
    return f"its DoRA magnitude has shape {list(magnitude)}{over_columns}; expected: [{rows}]"


def _dims(shape: Shape) -> str:
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
