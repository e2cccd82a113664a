"""Walking a data set: which pictures there are, with which caption file and how many repeats. No file is opened."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainer_core.dataset.images import SUFFIXES

MAX_REPEATS = 10_000

_REPEATS = re.compile(r"([0-9]+)_")
# What OneTrainer keeps beside a picture of the same name.
_HELPERS = re.compile(r"(.+)-(?:mask|cond)label", re.DOTALL)
# Pictures that people do put into data sets, but that are not read here.
OTHER_PICTURES = frozenset(
    {
        ".tif",
        ".tiff",
        ".psd",
        ".heic",
        ".heif",
        ".jxl",
        ".jp2",
        ".svg",
        ".ico",
        ".tga",
        ".apng",
        ".dng",
        ".qoi",
    }
)


@dataclass(frozen=True, kw_only=True)
class DataProblem:
    """Something to know about the data. `severe` ones cost an image and stop a strict run."""

    kind: str
    path: Path
    message: str
    severe: bool = False


@dataclass(frozen=True, kw_only=True)
class FoundPicture:
    """One picture: where it is, its caption file if there is one, and how often an epoch shows it."""

    path: Path
    relative: PurePosixPath
    caption_file: Path | None
    repeats: int


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Pictures and problems in the order of the walk."""

    pictures: tuple[FoundPicture, ...]
    problems: tuple[DataProblem, ...]


def is_numbered(folder: str) -> bool:
    """Named like `10_character`."""
    return _REPEATS.match(folder) is not None


def label_of(folder: str) -> str:
    """`10_character` -> `character`; any other name stays."""
    match = _REPEATS.match(folder)
    return (folder[match.end() :] if match else "") or folder


def repeats_of(folder: str) -> int:
    """`10_character` -> 10; any other name (`1girl_set`, `3d`) -> 1. Raises ValueError beyond 1 to 10,000."""
    match = _REPEATS.match(folder)
    if match is None:
        return 1
    count = int(match[1])
    if not 1 <= count <= MAX_REPEATS:
        raise ValueError(f"{count} repeats; allowed: 1 to {MAX_REPEATS}")
    return count


def find_images(root: Path) -> Finding:
    """Every file below ``root`` that looks like a picture, whatever is in it.

    A folder directly in `root` named like `10_character` sets the repeats of all below it; the name of `root` itself
    and those of deeper folders (`2023_photos`) do not count. Hidden files and folders are passed over; links to files
    are followed, links to folders are not.
    """
    walker = _Walker(root)
    walker.walk()
    return Finding(pictures=tuple(walker.pictures), problems=tuple(walker.problems))


def stem_of(path: Path | PurePosixPath) -> str:
    """What an image and its caption share; macOS writes the same accented name in another Unicode form."""
    return unicodedata.normalize("NFC", path.stem)


class _Walker:
    """Gathers the pictures and problems of one data set."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.pictures: list[FoundPicture] = []
        self.problems: list[DataProblem] = []

    def walk(self) -> None:
        inherited = {self._root: 1}
        for current, folders, files in os.walk(self._root, onerror=self._unreadable):
            folder = Path(current)
            visible = list(self._visible(folder, files))
            if folder == self._root and visible and is_numbered(folder.name):
                self._say_no_repeats(folder)
            self._take_folder(visible, inherited[folder])
            entered = []
            for path in self._visible(folder, folders):
                repeats = self._repeats(path, inherited[folder])
                if repeats:
                    inherited[path] = repeats
                    entered.append(path.name)
            folders[:] = entered

    def _say(self, kind: str, path: Path, message: str, *, severe: bool = False) -> None:
        self.problems.append(DataProblem(kind=kind, path=path, message=message, severe=severe))

    def _say_no_repeats(self, folder: Path) -> None:
        self._say("repeats", folder, f"{folder}: repeats are read from the folders inside train_data_dir only.")

    def _unreadable(self, error: OSError) -> None:
        self._say("unreadable", Path(error.filename), f"{error.filename}: {error.strerror}; left out.", severe=True)

    def _visible(self, folder: Path, names: Iterable[str]) -> Iterator[Path]:
        for name in sorted(names):
            if name.startswith("."):
                continue
            if name.encode(errors="replace").decode() != name:
                shown = folder / name.encode(errors="backslashreplace").decode()
                self._say(
                    "name",
                    shown,
                    f"{shown}: the name is not valid Unicode; rename it. Left out.",
                    severe=True,
                )
                continue
            yield folder / name

    def _repeats(self, folder: Path, inherited: int) -> int:
        """Repeats of a folder about to be entered; 0 = it is left out."""
        if folder.is_symlink():
            self._say("link", folder, f"{folder}: a link to a folder is not followed.", severe=True)
            return 0
        if folder.parent != self._root:
            if is_numbered(folder.name):
                self._say_no_repeats(folder)
            return inherited
        try:
            return repeats_of(folder.name)
        except ValueError as error:
            self._say("repeats", folder, f"{folder}: {error}; folder left out.", severe=True)
            return 0

    def _take_folder(self, files: list[Path], repeats: int) -> None:
        captions = {stem_of(path): path for path in files if path.suffix.lower() == ".txt"}
        # As other programs call captions, 0.caption and 0.png.txt for 0.png: whoever has them expects them to be read.
        others = captions | {stem_of(path): path for path in files if path.suffix.lower() == ".caption"}
        stems = {stem_of(path) for path in files if path.suffix.lower() in SUFFIXES}
        named: set[str] = set()
        pictures: dict[str, Path] = {}
        for path in files:
            suffix, stem = path.suffix.lower(), stem_of(path)
            if suffix in SUFFIXES and (helper := _HELPERS.fullmatch(stem)) and helper[1] in stems:
                self._say(
                    "mask", path, f"{path}: made by OneTrainer for {helper[1]}, not a picture to train. Left out."
                )
            elif suffix in SUFFIXES:
                if stem in pictures:
                    message = f"{path} and {pictures[stem].name} share one name and so one caption, {path.stem}.txt."
                    self._say("same_stem", path, message)
                self._add(path, captions.get(stem), repeats)
                whole = unicodedata.normalize("NFC", path.name)
                if stem not in captions and (other := others.get(stem) or others.get(whole)):
                    named |= {stem, whole}
                    message = f"{other}: not read as the caption of {path.name}; rename it to {path.stem}.txt."
                    self._say("other_caption", other, message)
            elif suffix in OTHER_PICTURES:
                message = f"{path}: this format is not read; save it as PNG, JPEG or WebP. Left out."
                self._say("format", path, message, severe=True)
            else:
                continue
            pictures.setdefault(stem, path)
        for stem in captions.keys() - pictures.keys() - named:
            self._say("no_image", captions[stem], f"{captions[stem]}: a caption without an image.")

    def _add(self, path: Path, caption_file: Path | None, repeats: int) -> None:
        relative = PurePosixPath(path.relative_to(self._root).as_posix())
        self.pictures.append(FoundPicture(path=path, relative=relative, caption_file=caption_file, repeats=repeats))
