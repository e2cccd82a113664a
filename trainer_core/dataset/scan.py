"""Finding images and captions in a folder, and saying plainly what is wrong with it."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.images import SUFFIXES, ImageProblem, probe_size

_REPEATS = re.compile(r"(\d+)_")
# Pictures that people do put into data sets, but that are not read here.
_OTHER_PICTURES = frozenset({".tif", ".tiff", ".psd", ".heic", ".heif", ".jxl", ".svg", ".ico", ".jfif"})
MAX_REPEATS = 10_000


@dataclass(frozen=True, kw_only=True)
class ImageItem:
    """One training image. Size in pixels after the EXIF turn; an image without .txt has an empty caption."""

    path: Path
    relative: Path
    caption: str
    repeats: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True)
class DataProblem:
    """Something to know about the data. `severe` ones cost an image and stop a strict run."""

    kind: str
    path: Path
    message: str
    severe: bool = False


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What was found, sorted by relative path."""

    items: tuple[ImageItem, ...]
    problems: tuple[DataProblem, ...]


def repeats_of(folder: str) -> int:
    """`10_character` -> 10; any other name (`1girl_set`, `3d`) -> 1. Raises ValueError beyond 1 to 10,000."""
    match = _REPEATS.match(folder)
    if match is None:
        return 1
    count = int(match[1])
    if not 1 <= count <= MAX_REPEATS:
        raise ValueError(f"{count} repeats; allowed: 1 to {MAX_REPEATS}")
    return count


def scan_dataset(root: Path, *, strict: bool) -> Scan:
    """Every image under `root` with its caption.

    Raises UserError: `dataset_missing`, `dataset_empty`, and with `strict` `dataset_problem` for left-out images.
    """
    if not root.is_dir():
        raise UserError("dataset_missing", f"train_data_dir: {root} is not a folder.", ["Check the path."])
    items: list[ImageItem] = []
    problems: list[DataProblem] = []
    for folder, names in _folders(root):
        try:
            repeats = repeats_of(folder.name) if folder != root else 1
        except ValueError as error:
            problems.append(
                DataProblem(kind="repeats", path=folder, message=f"{folder}: {error}; folder left out.", severe=True)
            )
            continue
        _scan_folder(root, folder, names, repeats, items, problems)
    severe = [problem.message for problem in problems if problem.severe]
    if strict and severe:
        raise UserError("dataset_problem", "strict_data is on and the data set has problems:\n" + "\n".join(severe))
    if not items:
        raise UserError(
            "dataset_empty",
            f"No usable image in {root}. Looked for {', '.join(sorted(SUFFIXES))} in it and its folders.",
            severe[:5] or ["Put images there, with captions in .txt files of the same name."],
        )
    return Scan(items=tuple(sorted(items, key=lambda item: item.relative.as_posix())), problems=tuple(problems))


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders and their visible files, sorted; links to folders are not entered."""
    for current, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(current), sorted(name for name in files if not name.startswith("."))


def _scan_folder(  # noqa: PLR0913 - the two lists are what it fills
    root: Path,
    folder: Path,
    names: list[str],
    repeats: int,
    items: list[ImageItem],
    problems: list[DataProblem],
) -> None:
    images = [name for name in names if Path(name).suffix.lower() in SUFFIXES]
    captions = {Path(name).stem: name for name in names if Path(name).suffix.lower() == ".txt"}
    stems: dict[str, str] = {}
    for name in names:
        if Path(name).suffix.lower() in _OTHER_PICTURES:
            message = f"{folder / name}: this format is not read; save it as PNG, JPEG or WebP."
            problems.append(DataProblem(kind="format", path=folder / name, message=message, severe=True))
    for name in images:
        path, stem = folder / name, Path(name).stem
        if stem in stems:
            message = f"{path} and {stems[stem]} share one name and so one caption, {stem}.txt."
            problems.append(DataProblem(kind="same_stem", path=path, message=message))
        stems[stem] = name
        try:
            width, height = probe_size(path)
            caption = _read_caption(folder / captions[stem]) if stem in captions else ""
        except ImageProblem as problem:
            message = f"left out: {problem.message}"
            problems.append(DataProblem(kind=problem.kind, path=path, message=message, severe=True))
            continue
        except OSError as error:
            message = f"{folder / captions[stem]}: cannot be read ({error.strerror}). {name} is left out."
            problems.append(DataProblem(kind="caption_unreadable", path=path, message=message, severe=True))
            continue
        except ValueError:
            message = f"{folder / captions[stem]}: not UTF-8; save it as UTF-8. {name} is left out."
            problems.append(DataProblem(kind="caption_encoding", path=path, message=message, severe=True))
            continue
        if not caption:
            message = f"{path}: no caption (no .txt beside it, or an empty one)."
            problems.append(DataProblem(kind="no_caption", path=path, message=message))
        relative = path.relative_to(root)
        items.append(
            ImageItem(path=path, relative=relative, caption=caption, repeats=repeats, width=width, height=height)
        )
    for stem in sorted(set(captions) - set(stems)):
        message = f"{folder / captions[stem]}: a caption without an image."
        problems.append(DataProblem(kind="no_image", path=folder / captions[stem], message=message))


def _read_caption(file: Path) -> str:
    """Raises ValueError for anything but UTF-8 text."""
    text = file.read_bytes().decode("utf-8-sig")
    if "\0" in text:
        # UTF-16 without a mark decodes as UTF-8 when it is ASCII only.
        raise ValueError(f"{file} holds NUL characters")
    return text.strip()
