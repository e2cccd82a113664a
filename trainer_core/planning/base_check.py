"""Says at once whether some paths are a usable base: layout, parts, sizes, and what to do about the rest.

Reads folders and headers only, in milliseconds and without torch. What it finds is what `find_base` finds; a part that
it calls good may still be refused when its weights are compared name by name as they are loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trainer_core.contracts.base_part import BASE_PARTS, BY_FOLDER
from trainer_core.contracts.errors import UserError
from trainer_core.planning.base_parts import BaseFolder
from trainer_core.planning.base_places import locate
from trainer_core.planning.comfy import RELEASED, files_of, is_comfy
from trainer_core.planning.part_check import PartFacts, check_part, misfit, unreadable

ENCODERS = ("text_encoder", "clip_model")
State = Literal["good", "unread", "hub", "missing", "refused"]


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


def check_base(settings: Mapping[str, str]) -> BaseReport:
    """The base that settings name (those of `BASE_OPTIONS`, by name). Never raises: every refusal is in the report."""
    places = locate(settings)
    facts = {part: check_part(part, path) for part, path in places.parts.items()}
    transformer = facts.get("transformer")
    reports = []
    for part in BY_FOLDER:
        if part in facts:
            reports.append(_described(part, places.parts[part], facts[part], transformer))
        elif part in places.hub:
            reports.append(PartReport(part=part, state="hub", path=places.hub[part]))
        else:
            reports.append(PartReport(part=part, state="missing", error=places.refusals.get(part)))
    return BaseReport(layout=places.layout, parts=tuple(reports), error=places.error)


def require_parts(base: BaseFolder) -> None:
    """Raises UserError as the first loader that refuses its part of a base will, as far as headers tell."""
    report = check_base({part.option: str(getattr(base, part.folder)) for part in BASE_PARTS})
    if problem := next((part.error for part in report.parts if part.error), report.error):
        raise problem


def _described(part: str, path: Path, facts: PartFacts, transformer: PartFacts | None) -> PartReport:
    error = facts.error or misfit(part, path, facts, transformer)
    state: State = "refused" if error else "unread" if facts.unread else "good"
    return PartReport(part=part, state=state, path=str(path), size=facts.size, dtype=facts.dtype, error=error)


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
        seen = {part: list(files_of(folder, part)) for part in BY_FOLDER}
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
            for part in BY_FOLDER
        }
    except OSError as error:
        raise unreadable(folder, error) from error
