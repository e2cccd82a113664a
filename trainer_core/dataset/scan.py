"""Finding images and captions in a folder, and saying plainly what is wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.caption_files import CaptionTooLong, read_caption
from trainer_core.dataset.finding import DataProblem, FoundPicture, find_images
from trainer_core.dataset.images import SUFFIXES, Header, ImageProblem, read_header
from trainer_core.dataset.xml_captions import xml_mistake


@dataclass(frozen=True, kw_only=True)
class ImageItem:
    """One training image. Size in pixels after the EXIF turn; an image without .txt has an empty caption.

    converted: whether reading it changes its colours, by its profile.
    """

    path: Path
    relative: PurePosixPath
    caption: str
    repeats: int
    width: int
    height: int
    converted: bool = False


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What was found, items and problems sorted by path; what is to be said of all of them first."""

    items: tuple[ImageItem, ...]
    problems: tuple[DataProblem, ...]


def scan_dataset(root: Path, *, strict: bool, option: str = "train_data_dir") -> Scan:
    """Every image under `root` with its caption. Only headers are read: a cut-off image shows when it is decoded.

    Found as by `find_images`. `option` names `root` in errors.

    Raises:
        UserError: `dataset_missing`, `dataset_empty`, and with `strict` `dataset_problem`, which lists every
            problem that leaves an image out.
    """
    if not root.is_dir():
        raise folder_missing(option, root)
    finding = find_images(root)
    read = [_read(found) for found in finding.pictures]
    told = [*finding.problems, *(problem for _, remarks in read for problem in remarks)]
    problems = sorted(told, key=lambda problem: (problem.path.as_posix(), problem.kind))
    severe = [problem.message for problem in problems if problem.severe]
    if strict and severe:
        raise refused_by_strict_data(severe)
    items = sorted((item for item, _ in read if item), key=lambda item: item.relative.as_posix())
    if not items:
        raise UserError(
            "dataset_empty",
            f"No usable image in {root}. Looked for {', '.join(sorted(SUFFIXES))} in it and its folders.",
            severe[:5] or ["Put images there, with captions in .txt files of the same name."],
        )
    if not any(item.caption for item in items):
        message = f"{root}: no image has a caption. Captions are .txt files beside the images: 1.txt for 1.png."
        problems.insert(0, DataProblem(kind="no_captions", path=root, message=message))
    return Scan(items=tuple(items), problems=tuple(problems))


def folder_missing(option: str, folder: Path) -> UserError:
    """The error for an option that names what is no folder; of a relative path it says where that was looked for."""
    hint = "Check the path." if folder.is_absolute() else f"Check the path; in full it is {folder.absolute()}."
    return UserError("dataset_missing", f"{option}: {folder} is not a folder.", [hint])


def refused_by_strict_data(problems: Sequence[str]) -> UserError:
    """The error that lists what costs images of a run with strict_data."""
    return UserError("dataset_problem", "strict_data is on and the data set has problems:\n" + "\n".join(problems))


def none_readable(folder: Path) -> UserError:
    """The error for images that were found, of which none can be decoded."""
    return UserError("dataset_empty", f"No image in {folder} could be read.")


def _read(found: FoundPicture) -> tuple[ImageItem | None, list[DataProblem]]:
    """The item, unless it has to be left out, and what is to be said about it."""
    path, caption_file = found.path, found.caption_file
    try:
        # A named pipe would block for ever, a broken link has nothing to read.
        if not path.is_file():
            raise ImageProblem("broken", path, "not a regular file")
        header = read_header(path)
    except ImageProblem as problem:
        return None, [_severe(problem.kind, path, f"left out: {problem.message}")]
    try:
        caption = read_caption(caption_file) if caption_file else ""
    except OSError as error:
        message = f"{caption_file}: cannot be read ({error.strerror}). {path.name} is left out."
        return None, [_severe("caption_unreadable", path, message)]
    except CaptionTooLong as error:
        message = f"{caption_file}: {error}; shorten it. {path.name} is left out."
        return None, [_severe("caption_too_long", path, message)]
    except ValueError as error:
        message = f"{caption_file}: not UTF-8 text ({error}); save it as UTF-8. {path.name} is left out."
        return None, [_severe("caption_encoding", path, message)]
    width, height = header.size
    item = ImageItem(
        path=path,
        relative=found.relative,
        caption=caption,
        repeats=found.repeats,
        width=width,
        height=height,
        converted=header.converted,
    )
    return item, _remarks(item, header, caption_file is not None)


def _remarks(item: ImageItem, header: Header, has_caption_file: bool) -> list[DataProblem]:
    """What is to be said of an image that is trained."""
    path = item.path
    said: list[DataProblem] = []
    if header.profile_problem:
        why = header.profile_problem
        message = f"{path}: its colour profile is not used: {why}. Its colours are taken as they are stored."
        said.append(DataProblem(kind="profile", path=path, message=message))
    if not item.caption:
        state = "is empty" if has_caption_file else "is missing"
        message = f"{path}: its caption {path.stem}.txt {state}; it is trained with the system prompt alone."
        said.append(DataProblem(kind="no_caption", path=path, message=message))
    if mistake := xml_mistake(item.caption):
        message = f"{path}: its caption's XML has a mistake: {mistake}. It is trained as it stands."
        said.append(DataProblem(kind="caption_xml", path=path, message=message))
    return said


def _severe(kind: str, path: Path, message: str) -> DataProblem:
    return DataProblem(kind=kind, path=path, message=message, severe=True)
