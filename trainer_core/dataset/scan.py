"""Finding images and captions in a folder, and saying plainly what is wrong with it."""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.images import SUFFIXES, ImageProblem, probe_size

MAX_REPEATS = 10_000
MAX_CAPTION_BYTES = 1 << 20

_REPEATS = re.compile(r"([0-9]+)_")
# Pictures that people do put into data sets, but that are not read here.
_OTHER_PICTURES = frozenset(
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
class ImageItem:
    """One training image. Size in pixels after the EXIF turn; an image without .txt has an empty caption."""

    path: Path
    relative: PurePosixPath
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
    """What was found, items and problems sorted by path."""

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


def scan_dataset(root: Path, *, strict: bool, option: str = "train_data_dir") -> Scan:
    """Every image under `root` with its caption. Only headers are read: a cut-off image shows when it is decoded.

    The nearest folder named like `10_character` sets the repeats, that of `root` itself does not count. Hidden
    files and folders are passed over; links to files are followed, links to folders are not. `option` names `root` in
    errors.

    Raises:
        UserError: `dataset_missing`, `dataset_empty`, and with `strict` `dataset_problem`, which lists every
            problem that leaves an image out.
    """
    if not root.is_dir():
        raise UserError("dataset_missing", f"{option}: {root} is not a folder.", ["Check the path."])
    scanner = _Scanner(root)
    scanner.walk()
    problems = sorted(scanner.problems, key=lambda problem: (problem.path.as_posix(), problem.kind))
    severe = [problem.message for problem in problems if problem.severe]
    if strict and severe:
        raise UserError("dataset_problem", "strict_data is on and the data set has problems:\n" + "\n".join(severe))
    if not scanner.items:
        raise UserError(
            "dataset_empty",
            f"No usable image in {root}. Looked for {', '.join(sorted(SUFFIXES))} in it and its folders.",
            severe[:5] or ["Put images there, with captions in .txt files of the same name."],
        )
    items = sorted(scanner.items, key=lambda item: item.relative.as_posix())
    return Scan(items=tuple(items), problems=tuple(problems))


class _Scanner:
    """Walks one data set and gathers its items and problems."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.items: list[ImageItem] = []
        self.problems: list[DataProblem] = []

    def walk(self) -> None:
        inherited = {self._root: 1}
        for current, folders, files in os.walk(self._root, onerror=self._unreadable):
            folder = Path(current)
            visible = list(self._visible(folder, files))
            if folder == self._root and visible and _REPEATS.match(folder.name):
                self._say(
                    "repeats",
                    folder,
                    f"{folder}: repeats are read from the folders inside train_data_dir only.",
                )
            self._scan_folder(visible, inherited[folder])
            entered = []
            for path in self._visible(folder, folders):
                repeats = self._repeats(path, inherited[folder])
                if repeats:
                    inherited[path] = repeats
                    entered.append(path.name)
            folders[:] = entered

    def _say(self, kind: str, path: Path, message: str, *, severe: bool = False) -> None:
        self.problems.append(DataProblem(kind=kind, path=path, message=message, severe=severe))

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
            self._say("link", folder, f"{folder}: a link to a folder is not followed.")
            return 0
        try:
            return repeats_of(folder.name) if _REPEATS.match(folder.name) else inherited
        except ValueError as error:
            self._say("repeats", folder, f"{folder}: {error}; folder left out.", severe=True)
            return 0

    def _scan_folder(self, files: list[Path], repeats: int) -> None:
        captions = {_stem(path): path for path in files if path.suffix.lower() == ".txt"}
        pictures: dict[str, Path] = {}
        for path in files:
            suffix, stem = path.suffix.lower(), _stem(path)
            if suffix in SUFFIXES:
                if stem in pictures:
                    message = f"{path} and {pictures[stem].name} share one name and so one caption, {path.stem}.txt."
                    self._say("same_stem", path, message)
                self._add(path, captions.get(stem), repeats)
            elif suffix in _OTHER_PICTURES:
                message = f"{path}: this format is not read; save it as PNG, JPEG or WebP. Left out."
                self._say("format", path, message, severe=True)
            else:
                continue
            pictures.setdefault(stem, path)
        for stem in captions.keys() - pictures.keys():
            self._say("no_image", captions[stem], f"{captions[stem]}: a caption without an image.")

    def _add(self, path: Path, caption_file: Path | None, repeats: int) -> None:
        try:
            # A named pipe would block for ever, a broken link has nothing to read.
            if not path.is_file():
                raise ImageProblem("broken", path, "not a regular file")
            width, height = probe_size(path)
        except ImageProblem as problem:
            self._say(problem.kind, path, f"left out: {problem.message}", severe=True)
            return
        try:
            caption = _read_caption(caption_file) if caption_file else ""
        except OSError as error:
            message = f"{caption_file}: cannot be read ({error.strerror}). {path.name} is left out."
            self._say("caption_unreadable", path, message, severe=True)
            return
        except ValueError as error:
            message = f"{caption_file}: not UTF-8 text ({error}); save it as UTF-8. {path.name} is left out."
            self._say("caption_encoding", path, message, severe=True)
            return
        if not caption:
            state = "is empty" if caption_file else "is missing"
            message = f"{path}: its caption {path.stem}.txt {state}; it is trained with the system prompt alone."
            self._say("no_caption", path, message)
        relative = PurePosixPath(path.relative_to(self._root).as_posix())
        self.items.append(
            ImageItem(path=path, relative=relative, caption=caption, repeats=repeats, width=width, height=height)
        )


def _stem(path: Path) -> str:
    """What an image and its caption share; macOS writes the same accented name in another Unicode form."""
    return unicodedata.normalize("NFC", path.stem)


def _read_caption(file: Path) -> str:
    """Raises OSError, and ValueError for anything but UTF-8 text of a sane length."""
    if file.stat().st_size > MAX_CAPTION_BYTES:
        raise ValueError(f"it is over {MAX_CAPTION_BYTES // 1024} KiB")
    text = file.read_text(encoding="utf-8-sig")
    if "\0" in text:
        # UTF-16 without its mark decodes as UTF-8, with a NUL after every Latin letter.
        raise ValueError("it holds NUL characters")
    return text.strip()
