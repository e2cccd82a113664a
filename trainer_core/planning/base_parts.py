"""Where the four parts of a base model lie, in any layout: by folders and headers, without torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.base_part import BASE_PARTS, BY_FOLDER, BY_KIND
from trainer_core.contracts.errors import UserError
from trainer_core.planning.comfy import Widths, comfy_parts, is_comfy
from trainer_core.planning.weight_files import has_weights


@dataclass(frozen=True, kw_only=True)
class BaseFolder:
    """The parts of one base model; every path is an existing file or folder that the part's loader takes.

    root:   the folder that holds them all; the transformer's own path for a base put together part by part.
    layout: "official", "diffusers", "comfyui" or "parts" (none of them: single parts only).
    """

    root: Path
    transformer: Path
    text_encoder: Path
    clip_model: Path
    vae: Path
    layout: str = "official"


def find_base(
    path: Path | None,
    *,
    widths: Callable[[Path], Widths],
    **named: Path | None,
) -> BaseFolder:
    """Recognises a base model by what lies in its folder; each of the named paths (by kind) replaces one part of it.

    `path` may also be the transformer alone (a file); None means that every part is named. `widths` tells what a
    transformer takes from its encoders: in a ComfyUI folder they are chosen by it.

    Raises UserError: "base_missing" for a path that does not exist, "base_incomplete" naming what is absent,
    "base_ambiguous" where several files could be one part.
    """
    given = {BY_KIND[kind].folder: value for kind, value in named.items() if value is not None}
    parts = {part: override(part, value) for part, value in given.items()}
    layout = "parts"
    if path is not None:
        wanted = [part for part in BY_FOLDER if part not in parts]
        found, layout = parts_of(path, wanted, parts.get("transformer"), widths)
        parts = found | parts
    absent = [part for part in BY_FOLDER if part not in parts]
    if absent:
        raise incomplete(absent)
    return BaseFolder(
        root=path if path is not None and layout != "parts" else parts["transformer"], layout=layout, **parts
    )


def incomplete(absent: list[str]) -> UserError:
    """The error for parts that nothing names."""
    return UserError(
        "base_incomplete",
        f"The base model lacks {', '.join(absent)}: no base folder is given that holds them.",
        [f"Give {', '.join(BY_FOLDER[part].option for part in absent)}, or the folder of a whole base model."],
    )


def override(part: str, place: Path) -> Path:
    """A part that is named by itself: a file, its folder, or the folder of a whole base. Raises `base_missing`."""
    if not place.exists():
        raise UserError("base_missing", f"{BY_FOLDER[part].option}: {place} does not exist.")
    if place.is_dir() and not (place / "config.json").is_file():
        for name in (part, BY_FOLDER[part].diffusers):
            if (place / name).is_dir():
                return place / name
        single = [file for file in place.iterdir() if file.suffix in (".safetensors", ".sft")]
        if part != "transformer" and len(single) == 1:
            return single[0]
    return place


def parts_of(
    root: Path, wanted: list[str], transformer: Path | None, widths: Callable[[Path], Widths]
) -> tuple[dict[str, Path], str]:
    """(the wanted parts that `root` holds, its layout); `transformer`: the one that is named by itself.

    Raises UserError: "base_missing", "base_incomplete", "base_ambiguous", and what `widths` raises.
    """
    if root.is_file():
        return ({"transformer": root} if "transformer" in wanted else {}), "parts"
    if not root.is_dir():
        raise UserError(
            "base_missing",
            f"{root} is not a folder; base_model_path must be the folder of a NewBie base model.",
            _expected_layout(),
        )
    absent = [name for name in wanted if not (root / name).is_dir()]
    clip = BY_KIND["clip"]
    diffusers = (root / clip.diffusers).is_dir() and not (root / clip.folder).is_dir()
    # A folder vae is in every layout; in ComfyUI's it holds single files.
    comfy = bool(wanted) and is_comfy(root) and not any((root / name).is_dir() for name in BY_FOLDER if name != "vae")
    for layout in () if comfy else ("diffusers", "official"):
        parts = {name: BY_FOLDER[name] for name in wanted}
        found = {name: root / (part.diffusers if layout == "diffusers" else name) for name, part in parts.items()}
        if (layout == "official" or diffusers) and all(folder.is_dir() for folder in found.values()):
            return found, layout
    if is_comfy(root):
        return comfy_parts(root, wanted, transformer, widths), "comfyui"
    if wanted == ["transformer"] and has_weights(root):
        return {"transformer": root}, "parts"
    raise _lacking(root, absent)


def _lacking(root: Path, absent: list[str]) -> UserError:
    hints = _expected_layout()
    if root.name in BY_FOLDER or root.parent.name in BY_FOLDER:
        whole = root.parent if root.name in BY_FOLDER else root.parent.parent
        hints.insert(0, f"This is one part of a base model; give the whole folder instead: {whole}")
    inner = sorted(d.name for d in root.iterdir() if all((d / name).is_dir() for name in BY_FOLDER))
    if inner:
        hints.insert(0, f"A base model lies one level deeper: {root / inner[0]}")
    hints.append(f"Parts that lie elsewhere are given by {', '.join(BY_FOLDER[name].option for name in absent)}.")
    names = ", ".join(f"{name}/" for name in absent)
    return UserError("base_incomplete", f"{root} is not a complete NewBie base model: it lacks {names}.", hints)


def _expected_layout() -> list[str]:
    return [
        "The folder must look like this:",
        *(f"{part.folder}/  {part.holds}" for part in BASE_PARTS),
        "ComfyUI's models folder (diffusion_models, text_encoders, vae) and diffusers' own layout are read as well.",
    ]
