"""Where each part of the base lies that some settings name, and why a part is not found; torch-free."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainer_core.contracts.base_part import BASE_PARTS, BY_FOLDER
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.user_path import user_path
from trainer_core.planning.base_parts import incomplete, override, parts_of
from trainer_core.planning.hub_place import parse_place
from trainer_core.planning.part_check import transformer_widths, unreadable

# For a transformer that is not here: its widths stay untold. No path can have this name.
_NOWHERE = Path("\0")


@dataclass(frozen=True, kw_only=True)
class Places:
    """What is found of a base.

    layout: "official", "diffusers", "comfyui", "parts", "" where nothing was recognised. parts: by name, those that
    are here. hub: those that are named by a hub id, as written. refusals: why others are not found, where there is a
    reason of their own. error: what `find_base` says where it finds no base.
    """

    layout: str
    parts: Mapping[str, Path] = field(default_factory=dict)
    hub: Mapping[str, str] = field(default_factory=dict)
    refusals: Mapping[str, UserError] = field(default_factory=dict)
    error: UserError | None = None

    def path_of(self, part: str) -> Path:
        """Raises UserError for a part that is not here."""
        if part in self.parts:
            return self.parts[part]
        if part in self.hub:
            raise UserError("base_missing", f"{self.hub[part]} is not on this disk.")
        raise self.refusals.get(part) or self.error or incomplete([part])


def locate(settings: Mapping[str, str]) -> Places:
    """Looks for every part, each for itself where the base is not whole. Never raises.

    settings: those of `BASE_OPTIONS` that are set, by name.
    """
    given, hub, refusals = _named(settings)
    text = settings.get("base_model_path", "").strip()
    wanted = [part for part in BY_FOLDER if part not in (given.keys() | hub.keys() | refusals.keys())]
    if not text and len(wanted) == len(BY_FOLDER):
        nothing = UserError("base_missing", "No base model is chosen.", ["Choose the folder of a base model."])
        return Places(layout="", error=nothing)
    found: dict[str, Path] = {}
    layout, error = _found(text, wanted, given.get("transformer"), found, refusals)
    return Places(layout=layout, parts=given | found, hub=hub, refusals=refusals, error=error)


def _named(settings: Mapping[str, str]) -> tuple[dict[str, Path], dict[str, str], dict[str, UserError]]:
    """Of the parts that are named by themselves: those on this disk, the hub ids, and why others are neither."""
    given: dict[str, Path] = {}
    hub: dict[str, str] = {}
    refusals: dict[str, UserError] = {}
    for part in BASE_PARTS:
        text = settings.get(part.option, "").strip()
        try:
            if text:
                given[part.folder] = override(part.folder, user_path(text))
        except UserError as error:
            if parse_place(text) is not None:
                hub[part.folder] = text
            else:
                refusals[part.folder] = error
        except OSError as error:
            refusals[part.folder] = unreadable(Path(text), error)
    return given, hub, refusals


def _found(
    text: str,
    wanted: list[str],
    transformer: Path | None,
    found: dict[str, Path],
    refusals: dict[str, UserError],
) -> tuple[str, UserError | None]:
    """(layout, why this is no whole base). What the folder `text` holds goes into `found`, why it lacks others into
    `refusals`.
    """
    try:
        root = user_path(text) if text else None
    except UserError as refusal:
        return "", refusal
    layout, error = "parts", None
    try:
        if root is not None:
            here, layout = parts_of(root, wanted, transformer or _NOWHERE, transformer_widths)
            found |= here
    except UserError as refusal:
        layout, error = "", refusal
        for part in wanted:
            layout = _find_one(root, part, transformer, found, refusals) or layout
    except OSError as problem:
        assert root is not None
        return "", unreadable(root, problem)
    absent = [part for part in wanted if part not in found]
    if absent and error is None:
        error = incomplete(absent)
    return layout, error


def _find_one(
    root: Path | None,
    part: str,
    transformer: Path | None,
    found: dict[str, Path],
    refusals: dict[str, UserError],
) -> str:
    """Puts one part into `found` or `refusals`; the layout by which it was found, else ""."""
    assert root is not None
    try:
        here, layout = parts_of(root, [part], found.get("transformer") or transformer or _NOWHERE, transformer_widths)
    except UserError as refusal:
        refusals[part] = refusal
        return ""
    found |= here
    return layout
