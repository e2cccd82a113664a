"""Says at once whether some paths are a usable base: layout, parts, sizes, and what to do about the rest.

Reads folders and headers only, in milliseconds and without torch. What it finds is what `find_base` finds; a part that
it calls good may still be refused when its weights are compared name by name as they are loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.user_path import user_path
from trainer_core.planning.base_parts import OPTIONS, PARTS, incomplete, override, parts_of
from trainer_core.planning.comfy import RELEASED, files_of, is_comfy
from trainer_core.planning.hub_place import parse_place
from trainer_core.planning.part_check import PartFacts, check_part, misfit, transformer_widths, unreadable

ENCODERS = ("text_encoder", "clip_model")
State = Literal["good", "unread", "hub", "missing", "refused"]


@dataclass(frozen=True, kw_only=True)
class BasePaths:
    """A base as settings name it: paths as text, "" for what is not set. The four parts may also be hub ids."""

    base_model_path: str = ""
    transformer_path: str = ""
    gemma_model_path: str = ""
    clip_model_path: str = ""
    vae_path: str = ""


@dataclass(frozen=True, kw_only=True)
class PartReport:
    """One part of a base.

    part: "transformer", "text_encoder", "clip_model" or "vae".
    state: "good"; "unread" (torch's own file: looked into when it is loaded); "hub" (named by a hub id); "missing";
    "refused" (there, but not usable). size: bytes of its weights. dtype: "bf16", "fp16", "fp32", "mixed", "" unknown.
    error: why it is refused, or where it was looked for.
    """

    part: str
    state: State
    path: str = ""
    size: int = 0
    dtype: str = ""
    error: UserError | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True)
class BaseReport:
    """layout: "official", "diffusers", "comfyui", "parts", "" where nothing was recognised.

    error: what `find_base` says where it finds no base.
    """

    layout: str
    parts: tuple[PartReport, ...]
    error: UserError | None = field(default=None, compare=False)

    @property
    def usable(self) -> bool:
        return self.error is None and not any(part.state in ("missing", "refused") for part in self.parts)

    @property
    def size(self) -> int:
        """Bytes of all parts that are here."""
        return sum(part.size for part in self.parts)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A file in a ComfyUI folder. fits: its vectors are as wide as a transformer found beside it takes them."""

    file: Path
    size: int
    quantised: bool
    fits: bool = True

    @property
    def usable(self) -> bool:
        return self.fits and not self.quantised


def check_base(paths: BasePaths) -> BaseReport:
    """Never raises: every refusal is in the report."""
    parts, given = _named(paths)
    text = paths.base_model_path.strip()
    wanted = [part for part in PARTS if part not in given and part not in parts]
    if not text and len(wanted) == len(PARTS):
        return BaseReport(layout="", parts=tuple(_report(part, "missing") for part in PARTS), error=_nothing_named())
    layout, error, found, refusals = _located(text, wanted, given.get("transformer"))
    located = given | found
    facts = {part: check_part(part, path) for part, path in located.items()}
    for part, fact in facts.items():
        parts[part] = _described(part, located[part], fact, facts.get("transformer"))
    for part in wanted:
        if part not in located:
            parts[part] = _report(part, "missing", error=refusals.get(part))
    return BaseReport(layout=layout, parts=tuple(parts[part] for part in PARTS), error=error)


def _named(paths: BasePaths) -> tuple[dict[str, PartReport], dict[str, Path]]:
    """(reports of parts that are named by themselves and not on this disk, paths of those that are)."""
    reports: dict[str, PartReport] = {}
    given: dict[str, Path] = {}
    for part, option in OPTIONS.items():
        text = getattr(paths, option).strip()
        try:
            if text:
                given[part] = override(part, user_path(text))
        except UserError as error:
            by_id = parse_place(text) is not None
            reports[part] = _report(part, "hub", path=text) if by_id else _report(part, "missing", error=error)
        except OSError as error:
            reports[part] = _report(part, "missing", error=unreadable(Path(text), error))
    return reports, given


Located = tuple[str, UserError | None, dict[str, Path], dict[str, UserError]]


def _located(text: str, wanted: list[str], transformer: Path | None) -> Located:
    """(layout, why this is no whole base, parts that the folder `text` holds, why it lacks the others)."""
    try:
        root = user_path(text) if text else None
    except UserError as refusal:
        return "", refusal, {}, {}
    found: dict[str, Path] = {}
    refusals: dict[str, UserError] = {}
    layout, error = "parts", None
    try:
        if root is not None:
            # Any path will do for a transformer that is not here: its widths stay untold.
            found, layout = parts_of(root, wanted, transformer or Path(), transformer_widths)
    except UserError as refusal:
        layout, error = "", refusal
        for part in wanted:
            layout = _find_one(root, part, found, refusals, transformer) or layout
    except OSError as problem:
        assert root is not None
        return "", unreadable(root, problem), {}, {}
    absent = [part for part in wanted if part not in found]
    if absent and error is None:
        error = incomplete(absent)
    return layout, error, found, refusals


def _find_one(
    root: Path | None,
    part: str,
    found: dict[str, Path],
    refusals: dict[str, UserError],
    transformer: Path | None,
) -> str:
    """Puts one part into `found` or `refusals`; the layout by which it was found, else ""."""
    assert root is not None
    try:
        here, layout = parts_of(root, [part], found.get("transformer") or transformer or Path(), transformer_widths)
    except UserError as refusal:
        refusals[part] = refusal
        return ""
    found |= here
    return layout


def _described(part: str, path: Path, facts: PartFacts, transformer: PartFacts | None) -> PartReport:
    error = facts.error or misfit(part, path, facts, transformer)
    state: State = "refused" if error else "unread" if facts.unread else "good"
    return _report(part, state, path=str(path), size=facts.size, dtype=facts.dtype, error=error)


def _report(
    part: str, state: State, *, path: str = "", size: int = 0, dtype: str = "", error: UserError | None = None
) -> PartReport:
    return PartReport(part=part, state=state, path=path, size=size, dtype=dtype, error=error)


def _nothing_named() -> UserError:
    return UserError("base_missing", "No base model is chosen.", ["Choose the folder of a base model."])


def find_in_comfyui(folder: Path) -> Mapping[str, tuple[Candidate, ...]]:
    """Every file of a ComfyUI `models` folder (or of the folder around it) that could be a part, by its header.

    Raises UserError: "comfy_missing" for another folder, "base_unreadable".
    """
    try:
        if not is_comfy(folder):
            raise UserError(
                "comfy_missing",
                f"{folder} is not ComfyUI's models folder: it holds neither diffusion_models nor unet.",
                ["Give the folder named models inside ComfyUI."],
            )
        seen = {part: list(files_of(folder, part)) for part in PARTS}
        takes = [found.takes for found in seen["transformer"] if found.takes and not found.quantised] or [RELEASED]
        return {
            part: tuple(
                Candidate(
                    file=found.file,
                    size=found.file.stat().st_size,
                    quantised=found.quantised,
                    fits=part not in ENCODERS or any(found.width == getattr(widths, part) for widths in takes),
                )
                for found in seen[part]
            )
            for part in PARTS
        }
    except OSError as error:
        raise unreadable(folder, error) from error
