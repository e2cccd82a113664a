"""The data sets of the workspace: folders with concepts in them, and folders elsewhere that are only remembered."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import read_json_object, write_json_atomic
from trainer_core.contracts.options import OptionSpec, checked
from trainer_core.contracts.trash import place_in, to_trash
from trainer_core.contracts.user_path import checked_name
from trainer_core.dataset.finding import MAX_REPEATS, is_numbered, label_of, repeats_of

_EXTERNAL_FILE = ".external.json"
_PATH = OptionSpec(name="folder", type="str", required=False, help="", rule="path")


@dataclass(frozen=True, kw_only=True)
class Concept:
    """A folder directly inside a data set. ``label`` is its name without the repeats."""

    folder: str
    label: str
    repeats: int


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """``external``: lives outside the workspace; it can be forgotten, never renamed or deleted."""

    name: str
    path: Path
    external: bool
    present: bool


class Library:
    """The data sets below ``datasets``; what is deleted goes below ``trash``, from where it can be moved back.

    Every method raises UserError for what a person can mend: `dataset_missing`, `dataset_exists`, `name_invalid`,
    `concept_missing`, `concept_exists`, `dataset_external`, `folder_unfit`, `folder_busy`.
    """

    def __init__(self, datasets: Path, trash: Path) -> None:
        self._datasets = datasets
        self._trash = trash

    def list(self) -> tuple[DatasetInfo, ...]:
        """All data sets by name, own ones first."""
        own = [
            DatasetInfo(name=entry.name, path=Path(entry.path), external=False, present=True)
            for entry in _folders(self._datasets)
        ]
        others = [
            DatasetInfo(name=name, path=Path(path), external=True, present=os.path.isdir(path))
            for name, path in self._external().items()
        ]
        return (*sorted(own, key=_by_name), *sorted(others, key=_by_name))

    def get(self, name: str) -> DatasetInfo:
        """Raises UserError `dataset_missing`, also for a remembered folder that is not there now."""
        found = next((info for info in self.list() if info.name == name), None)
        if found is None:
            raise UserError("dataset_missing", f"There is no data set named {name!r}.", ["Choose one from the list."])
        if not found.present:
            raise UserError(
                "dataset_missing",
                f"{found.path} is not a folder.",
                ["Plug in its drive or move the folder back.", "Or forget this data set: nothing is deleted by that."],
            )
        return found

    def own(self, name: str) -> DatasetInfo:
        """As `get`, for what is to be changed. Raises UserError `dataset_external` for a folder elsewhere."""
        info = self.get(name)
        if info.external:
            raise UserError(
                "dataset_external",
                f"{name} is a folder elsewhere on this machine ({info.path}); its folders are not changed from here.",
                ["Change it with your file manager."],
            )
        return info

    def create(self, name: str, repeats: int | None = None) -> DatasetInfo:
        """A new data set: empty, or with one concept of its own name where ``repeats`` are given."""
        self._require_free(name := checked_name(name))
        folder = self._datasets / name
        _make(folder if repeats is None else folder / _concept_folder(name, repeats))
        return DatasetInfo(name=name, path=folder, external=False, present=True)

    def rename(self, name: str, new: str) -> DatasetInfo:
        """Give an own data set another name."""
        info = self.own(name)
        new = checked_name(new)
        self._require_free(new, besides=info)
        target = self._datasets / new
        _move(info.path, target)
        return DatasetInfo(name=new, path=target, external=False, present=True)

    def delete(self, name: str) -> Path:
        """Move an own data set to the trash; returns where it is now."""
        return self._to_trash(self.own(name).path, name)

    def point_at(self, folder: str) -> DatasetInfo:
        """Remember a folder of this machine as a data set. Nothing in it is touched."""
        path = self._checked_folder(folder)
        known = self._external()
        for name, other in known.items():
            if Path(other) == path:
                return DatasetInfo(name=name, path=path, external=True, present=True)
        name = self._free_name(path.name)
        self._write_external({**known, name: str(path)})
        return DatasetInfo(name=name, path=path, external=True, present=True)

    def forget(self, name: str) -> None:
        """Take a folder elsewhere off the list; the folder stays as it is."""
        known = self._external()
        if name not in known:
            raise UserError("dataset_missing", f"There is no remembered folder named {name!r}.")
        self._write_external({key: path for key, path in known.items() if key != name})

    def concepts(self, name: str) -> tuple[Concept, ...]:
        """The folders directly inside a data set, by name."""
        return tuple(_concept(entry.name) for entry in _folders(self.get(name).path))

    def concept(self, name: str, folder: str) -> Concept:
        """Raises UserError `concept_missing`."""
        found = next((concept for concept in self.concepts(name) if concept.folder == folder), None)
        if found is None:
            raise UserError("concept_missing", f"{name} has no concept in a folder named {folder!r}.")
        return found

    def add_concept(self, name: str, label: str, repeats: int) -> Concept:
        """Make the folder ``{repeats}_{label}``."""
        info = self.own(name)
        concept = _concept(_concept_folder(label, repeats))
        self._require_no_concept(name, concept)
        _make(info.path / concept.folder)
        return concept

    def change_concept(self, name: str, folder: str, *, label: str, repeats: int) -> Concept:
        """Give a concept another name or other repeats."""
        info = self.own(name)
        old = self.concept(name, folder)
        new = _concept(_concept_folder(label, repeats))
        if new.folder == old.folder:
            return new
        self._require_no_concept(name, new, besides=old.folder)
        if _is_other(info.path / new.folder, info.path / old.folder):
            # No concept: a link, which would take the folder to where it leads, or a file.
            raise UserError(
                "concept_exists",
                f"In {name} something else is named {new.folder}.",
                ["Choose another name, or move that away with your file manager."],
            )
        _move(info.path / old.folder, info.path / new.folder)
        return new

    def delete_concept(self, name: str, folder: str) -> Path:
        """Move a concept with its pictures to the trash; returns where it is now."""
        info = self.own(name)
        return self._to_trash(info.path / self.concept(name, folder).folder, f"{name}-{folder}")

    def delete_image(self, name: str, image: Path, caption: Path | None) -> Path:
        """Move a picture of an own data set and its caption into a folder of the trash; returns that folder."""
        info = self.own(name)
        files = [path for path in (image, caption) if path is not None]
        for path in files:
            if info.path.resolve() not in path.resolve().parents:
                raise UserError("image_missing", f"{path.name} is not a picture of {name}.")
        place = place_in(self._trash, f"dataset-{name}-{image.stem}")
        _make(place)
        for path in files:
            _move(path, place / path.name)
        return place

    def _require_free(self, name: str, besides: DatasetInfo | None = None) -> None:
        others = (info.name.casefold() for info in self.list() if info != besides)
        if name.casefold() in others or _is_other(self._datasets / name, besides.path if besides else None):
            raise UserError("dataset_exists", f"There is a data set named {name} already.", ["Choose another name."])

    def _require_no_concept(self, name: str, new: Concept, besides: str = "") -> None:
        for concept in self.concepts(name):
            if concept.folder != besides and concept.label.casefold() == new.label.casefold():
                raise UserError(
                    "concept_exists",
                    f"{name} has a concept named {concept.label} already, with {concept.repeats} repeats.",
                    ["Choose another name, or change the repeats of the one there."],
                )

    def _free_name(self, wanted: str) -> str:
        taken = {info.name.casefold() for info in self.list()}
        numbered = (f"{wanted} ({number})" for number in range(2, len(taken) + 3))
        return next(name for name in (wanted, *numbered) if name.casefold() not in taken)

    def _checked_folder(self, folder: str) -> Path:
        if not folder.strip():
            raise UserError("folder_unfit", "There is no folder's path.", ["Type a folder's path."])
        try:
            path = Path(str(checked(_PATH, folder.strip().strip('"'))))
        except ValueError as error:
            raise UserError("folder_unfit", f"The folder {str(error).rstrip('.')}.") from error
        if not path.is_absolute():
            raise UserError("folder_unfit", f"{path} is no full path.", ["Type the path from the drive or / on."])
        if not path.is_dir():
            raise UserError("dataset_missing", f"{path} is not a folder.", ["Check the path."])
        path = path.resolve()
        workspace = self._datasets.parent.resolve()
        too_wide = path == Path(path.anchor) or path == Path.home().resolve() or path in workspace.parents
        if too_wide or path == workspace or workspace in path.parents:
            raise UserError(
                "folder_unfit",
                f"{path} cannot be a data set: it holds more than pictures, or belongs to this program.",
                ["Choose the folder with the pictures itself."],
            )
        return path

    def _external(self) -> dict[str, str]:
        known = read_json_object(self._datasets / _EXTERNAL_FILE)
        return {name: str(path) for name, path in known.items()}

    def _write_external(self, known: dict[str, str]) -> None:
        self._datasets.mkdir(parents=True, exist_ok=True)
        write_json_atomic(self._datasets / _EXTERNAL_FILE, known)

    def _to_trash(self, folder: Path, title: str) -> Path:
        with _moving(folder, self._trash):
            return to_trash(self._trash, folder, f"dataset-{title}")


def came_with(info: DatasetInfo, folder: str) -> bool:
    """Whether `Library.create` makes a concept in a folder of this name along with the data set."""
    return not info.external and is_numbered(folder) and label_of(folder) == info.name


def _concept_folder(label: str, repeats: int) -> str:
    if not 1 <= repeats <= MAX_REPEATS:
        raise UserError(
            "repeats_invalid", f"{repeats} repeats cannot be: a whole number from 1 to {MAX_REPEATS} is needed."
        )
    label = checked_name(label)
    try:
        return checked_name(f"{repeats}_{label}")
    except UserError as error:
        # A good name before: only its length can be at fault.
        raise UserError(
            "name_invalid",
            f"The name {label!r} is too long for a folder that begins with {repeats}_.",
            ["Choose a shorter name."],
        ) from error


def _concept(folder: str) -> Concept:
    try:
        repeats = repeats_of(folder)
    except ValueError:
        return Concept(folder=folder, label=folder, repeats=0)
    return Concept(folder=folder, label=label_of(folder), repeats=repeats)


def _folders(root: Path) -> list["os.DirEntry[str]"]:
    """Visible folders directly in ``root``, by name; links left out."""
    try:
        with os.scandir(root) as entries:
            found = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []
    return sorted((entry for entry in found if not entry.name.startswith(".")), key=lambda entry: entry.name)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError("folder_busy", f"{folder} cannot be made: {error.strerror}.") from error


def _is_other(path: Path, own: Path | None) -> bool:
    """Something lies at ``path`` that is not ``own`` under another spelling, as where case does not count."""
    if not os.path.lexists(path):
        return False
    return own is None or path.is_symlink() or not path.samefile(own)


def _move(source: Path, target: Path) -> None:
    with _moving(source, target):
        shutil.move(source, target)


@contextmanager
def _moving(source: Path, target: Path) -> Iterator[None]:
    """Raises UserError `folder_busy` in place of what the system says."""
    try:
        yield
    except OSError as error:
        raise UserError(
            "folder_busy",
            f"{source} cannot be moved to {target}: {error.strerror or error}.",
            ["Close programs that have files of it open, then try again."],
        ) from error


def _by_name(info: DatasetInfo) -> str:
    return info.name.casefold()
