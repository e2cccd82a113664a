"""From what a page says to a job: everything is checked here, as if anybody could have sent it."""

import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from newbie_gui.formatting import GIB, gib
from newbie_gui.pages.outputs import output_path
from newbie_gui.texts import Texts
from trainer_core.contracts.base_part import BASE_OPTIONS
from trainer_core.contracts.disk import SLACK_BYTES
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import DTYPES as PRECISIONS
from trainer_core.contracts.forms import LORA_FILES, LORA_FORMS
from trainer_core.contracts.sampling_limits import SHIFT, SIDE
from trainer_core.contracts.workspace import Workspace
from trainer_core.planning.base_check import BaseReport, check_base
from trainer_core.planning.lora_facts import PEFT_WEIGHTS, LoraFacts, lora_facts
from trainer_core.planning.lora_slots import moves_magnitudes, require_form
from trainer_core.planning.weight_files import SUFFIX

FORMS = ("comfyui", "folder")
BYTES = MappingProxyType({"fp64": 8, "fp32": 4, "bf16": 2, "fp16": 2})
MOST_LORAS = 5
STRENGTH = (-2.0, 2.0)
LONGEST_PROMPT = 8000


@dataclass(frozen=True, kw_only=True)
class Stack:
    """A base and LoRAs on it."""

    base: Path
    report: BaseReport
    loras: tuple[tuple[Path, float], ...]

    @property
    def spec(self) -> dict[str, Any]:
        loras = [{"path": str(path), "strength": strength} for path, strength in self.loras]
        return {"base": str(self.base), "loras": loras}


@dataclass(frozen=True, kw_only=True)
class DiskRoom:
    """What a merged model will take, in bytes, and what is free there; size 0: not known."""

    size: int
    free: int

    @property
    def enough(self) -> bool:
        return self.size + SLACK_BYTES <= self.free


def read_path(t: Texts, text: object, what: str) -> Path:
    """``what``: a key of the texts that names the field. Raises UserError `path_missing`, `path_invalid`."""
    if not isinstance(text, str) or not text.strip():
        raise UserError("path_missing", t("merge.error.missing", what=t(what)))
    path = Path(text.strip().strip('"'))
    if "\0" in text or not path.is_absolute():
        raise UserError("path_invalid", t("merge.error.not_full", what=t(what), path=text[:200]))
    if not path.exists():
        raise UserError("path_missing", t("merge.error.gone", what=t(what), path=path))
    return path


def read_stack(t: Texts, base: object, loras: Sequence[tuple[object, object]]) -> Stack:
    """Raises UserError: what a field lacks, and what is wrong with the base's transformer or a LoRA."""
    path = read_path(t, base, "merge.base")
    chosen = [(text, strength) for text, strength in loras[:MOST_LORAS] if text]
    if not chosen:
        raise UserError("loras_missing", t("merge.error.no_lora"))
    stack = []
    for text, strength in chosen:
        lora = read_path(t, text, "merge.lora")
        lora_facts(lora)
        stack.append((lora, number(t, "merge.strength", strength, *STRENGTH)))
    if len({lora for lora, _ in stack}) < len(stack):
        raise UserError("loras_twice", t("merge.error.twice"))
    return Stack(base=path, report=check_base({"base_model_path": str(path)}), loras=tuple(stack))


def number(t: Texts, what: str, value: object, low: float, high: float) -> float:
    """Raises UserError `number_invalid`."""
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not fits or not low <= value <= high:  # type: ignore[operator]
        raise UserError("number_invalid", t("merge.error.number", what=t(what), low=_shown(low), high=_shown(high)))
    return float(value)  # type: ignore[arg-type]


def _shown(limit: float) -> str:
    """A whole number with all its digits."""
    return f"{limit:,.0f}" if limit == int(limit) else f"{limit:g}"


def whole(t: Texts, what: str, value: object, low: int, high: int, step: int = 1) -> int:
    """Raises UserError `number_invalid`."""
    found = number(t, what, value, low, high)
    if found != int(found) or int(found) % step:
        text = t("merge.error.whole", what=t(what), low=low, high=high, step=step)
        raise UserError("number_invalid", text)
    return int(found)


def choice(t: Texts, what: str, value: object, allowed: Sequence[str]) -> str:
    """Raises UserError `choice_invalid`."""
    if not isinstance(value, str) or value not in allowed:
        raise UserError("choice_invalid", t("merge.error.choice", what=t(what)))
    return value


def room_for(report: BaseReport, form: str, precision: str, models: Path) -> DiskRoom:
    """What merging into this base will write below ``models``. Raises OSError."""
    free = shutil.disk_usage(models).free
    transformer = next(part for part in report.parts if part.part == "transformer")
    stored = BYTES.get(transformer.dtype, 0)
    size = transformer.size * BYTES[precision] // stored if precision != "keep" and stored else transformer.size
    if form == "folder" and transformer.path and Path(transformer.path).stat().st_dev != models.stat().st_dev:
        size += report.size - transformer.size
    return DiskRoom(size=size, free=free)


def merge_spec(
    t: Texts, workspace: Workspace, stack: Stack, wanted: Mapping[str, object], planned: Sequence[str]
) -> dict[str, Any]:
    """``wanted``: form, name, precision. Raises UserError, `disk_full` among them."""
    form = choice(t, "merge.form", wanted.get("form"), FORMS)
    precision = choice(t, "merge.precision", wanted.get("precision"), PRECISIONS)
    transformer = next(part for part in stack.report.parts if part.part == "transformer")
    if transformer.state in ("missing", "refused"):
        raise transformer.error or stack.report.error or UserError("base_incomplete", t("merge.error.no_transformer"))
    if form == "folder" and stack.report.layout != "official":
        raise UserError("output_invalid", t("merge.error.no_folder"))
    file = form == "comfyui"
    output = output_path(t, workspace.models, wanted.get("name"), file=file, planned=planned)
    room = room_for(stack.report, form, precision, workspace.models)
    if not room.enough:
        raise UserError("disk_full", t("merge.error.room", size=gib(room.size), free=gib(room.free)))
    return {**stack.spec, "output": str(output), "precision": precision}


def convert_spec(
    t: Texts, workspace: Workspace, wanted: Mapping[str, object], planned: Sequence[str]
) -> dict[str, Any]:
    """``wanted``: source, form, name, precision, base. Raises UserError."""
    source = read_path(t, wanted.get("source"), "merge.details.lora")
    facts = lora_facts(source)
    form = choice(t, "merge.convert.form", wanted.get("form"), LORA_FORMS)
    require_form(source, form, lokr=facts.lokr)
    precision = choice(t, "merge.precision", wanted.get("precision"), PRECISIONS)
    output = output_path(t, workspace.loras, wanted.get("name"), file=form in LORA_FILES, planned=planned)
    spec = {"source": str(source), "output": str(output), "form": form, "dtype": precision}
    if facts.dora and moves_magnitudes(form, over_base=facts.over_base):
        if not wanted.get("base"):
            raise UserError("base_needed", t("merge.error.dora_base", name=title_of(source), what=t("merge.base")))
        spec["base"] = str(read_path(t, wanted["base"], "merge.base"))
    return spec


def try_spec(t: Texts, stack: Stack, wanted: Mapping[str, object]) -> dict[str, Any]:
    """``wanted``: prompt, negative, width, height, steps, cfg, shift, seed, strengths. Raises UserError."""
    if not stack.report.usable:
        raise _not_whole(t, stack.report)
    prompt, negative = str(wanted.get("prompt") or ""), str(wanted.get("negative") or "")
    if not prompt.strip():
        raise UserError("prompt_missing", t("merge.error.no_prompt"))
    if max(len(prompt), len(negative)) > LONGEST_PROMPT:
        raise UserError("prompt_long", t("merge.error.long", limit=LONGEST_PROMPT))
    strengths = wanted.get("strengths")
    assert isinstance(strengths, list | tuple)
    factors = [number(t, "merge.try.strength", value, *STRENGTH) for value in strengths]
    return {
        **stack.spec,
        "prompt": prompt,
        "negative": negative,
        "width": whole(t, "merge.try.width", wanted.get("width"), *SIDE),
        "height": whole(t, "merge.try.height", wanted.get("height"), *SIDE),
        "steps": whole(t, "merge.try.steps", wanted.get("steps"), 1, 200),
        "cfg": number(t, "merge.try.cfg", wanted.get("cfg"), 0, 30),
        "shift": number(t, "merge.try.shift", wanted.get("shift"), *SHIFT[:2]),
        "seed": whole(t, "merge.try.seed", wanted.get("seed"), 0, 2**53),
        "strengths": list(dict.fromkeys([0.0, *factors])),
    }


def _not_whole(t: Texts, report: BaseReport) -> UserError:
    """Why nothing can be painted with a base. The settings that the engine would have named are on another tab."""
    error = next((part.error for part in report.parts if part.error), None) or report.error
    if error is None:
        return UserError("base_incomplete", t("merge.error.no_transformer"))
    hints = [hint for hint in error.hints if not any(option in hint for option in BASE_OPTIONS)]
    if len(hints) == len(error.hints):
        return error
    names = {"tab": "frame.tab.config", "panel": "base.heading", "convert": "base.how.convert"}
    words = t("merge.error.parts", **{name: t(key) for name, key in names.items()}, to=t("base.convert.to.official"))
    return UserError(error.code, error.message, [*hints, words])


def cpu_memory(report: BaseReport) -> int:
    """Bytes that painting on the CPU needs at most: in fp32 the text encoder, or the transformer with the VAE."""
    full = {part.part: part.size * 4 // BYTES.get(part.dtype, 2) for part in report.parts}
    return max(full.get("text_encoder", 0), full.get("transformer", 0) + full.get("vae", 0)) + GIB


def free_name(folder: Path, wanted: str, *, file: bool, taken: Sequence[str]) -> str:
    """``wanted``, or with the first number behind it under which nothing lies in ``folder`` or is ``taken``."""
    there = {path.name.casefold() for path in folder.iterdir()} if folder.is_dir() else set()
    there |= {name.casefold() for name in taken}
    suffix = SUFFIX if file else ""
    names = (wanted, *(f"{wanted}-{count}" for count in range(2, len(there) + 3)))
    return next(name for name in names if f"{name}{suffix}".casefold() not in there)


def precision_choices(t: Texts) -> list[tuple[str, str]]:
    """(what is shown, value); number formats have the same name in every language."""
    return [(t("merge.precision.keep") if name == "keep" else name, name) for name in PRECISIONS]


def title_of(path: Path) -> str:
    """A LoRA's name for people: of a PEFT folder the folder's."""
    return path.parent.name if path.name in PEFT_WEIGHTS else path.name.removesuffix(SUFFIX)


def other_form(facts: LoraFacts) -> str:
    return "peft" if facts.form == "comfyui" and not facts.lokr else "comfyui"
