"""The receiving end of an import: free names, atomic arrival, duplicates seen by their bytes."""

import os
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import replace as replace_file
from trainer_core.dataset.caption_files import caption_file_of, read_caption_file
from trainer_core.dataset.finding import stem_of
from trainer_core.dataset.import_names import folded, free_stem, safe_name
from trainer_core.dataset.import_plan import IncomingFile, RefusedFile
from trainer_core.dataset.index_file import IndexPlaces, Record, write_index
from trainer_core.dataset.indexing import examine, hash_of

_SCRATCH = ".import"
_SAVE_EVERY_S = 3.0


@dataclass(frozen=True, kw_only=True)
class ImportOutcome:
    """What became of one file or pair."""

    pictures: int = 0
    captions: int = 0
    refused: RefusedFile | None = None


class Target:
    """One data set while files arrive. Use as a context: at the end the index is kept and nothing half-done is left.

    Args:
        concept: folder inside the data set for what asks for no other; "" = directly in it.
        known: records of what is there, by path inside the data set; grows with what arrives.
        overwrite: a caption replaces the one that its picture has.
        spare: folders that nobody asked for by themselves: made if one of them is the ``concept``, see `drop_spare`.

    Raises:
        UserError: `concept_missing`, `concept` is no folder's name.
    """

    def __init__(
        self, folder: Path, *, concept: str, known: Mapping[str, Record], places: IndexPlaces, overwrite: bool,
        spare: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._spare = [folder / name for name in spare if safe_name(name) == name]
        if concept and safe_name(concept) == concept and concept in spare:
            (folder / concept).mkdir(exist_ok=True)
        if concept and (safe_name(concept) != concept or not (folder / concept).is_dir()):
            raise UserError("concept_missing", f"{folder.name} has no concept in a folder named {concept!r}.")
        self._folder = folder
        self._concept = concept
        self._places = places
        self._overwrite = overwrite
        self._records = dict(known)
        self._by_key = {record.key: path for path, record in known.items() if record.key}
        self._by_stem: dict[str, list[str]] = {}
        for path in known:
            self._remember_stem(stem_of(PurePosixPath(path)), path)
        # Stems in use in a folder: of pictures, and of captions that wait for theirs.
        self._taken: dict[str, tuple[set[str], set[str]]] = {}
        self._scratch = folder / _SCRATCH
        self._saved = time.monotonic()

    def __enter__(self) -> Self:
        # What an import that died left behind: only one at a time works in a data set.
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._scratch.mkdir()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self._scratch, ignore_errors=True)
        write_index(self._places.index, self._records)

    def drop_spare(self) -> None:
        """Remove the spare folders that are empty."""
        for folder in self._spare:
            with suppress(OSError):
                folder.rmdir()

    def scratch(self, incoming: IncomingFile) -> Path:
        """Where to unpack an entry: on the data set's own disk, out of sight."""
        return self._scratch / f"entry{Path(incoming.name).suffix.lower()}"

    def add(self, incoming: IncomingFile, file: Path, caption: bytes | None, *, move: bool) -> ImportOutcome:
        """Take in one picture with its caption: whole, or not at all.

        A picture whose bytes are there already is not taken a second time; its caption goes to that one.

        Raises:
            OSError: the disk refused; nothing of this picture was left.
        """
        try:
            key = hash_of(file)
        except OSError as error:
            return _refused(incoming, "unreadable", error.strerror or "")
        if key in self._by_key:
            return self._twin(incoming, self._by_key[key], caption)
        record = examine(file, self._places, key)
        if record.problem:
            return _refused(incoming, record.problem)
        folder = safe_name(incoming.concept) if incoming.concept else self._concept
        target = self._free_place(folder, safe_name(incoming.name), captioned=caption is not None)
        if caption is not None:
            self._write(target.with_suffix(".txt"), caption)
        try:
            self._arrive(file, target, move=move)
        except OSError:
            if caption is not None:
                target.with_suffix(".txt").unlink(missing_ok=True)
            raise
        self._remember(target, incoming.stem, record)
        return ImportOutcome(pictures=1, captions=caption is not None)

    def add_caption(self, incoming: IncomingFile, caption: bytes) -> ImportOutcome:
        """Give a caption that came alone to the picture of its stem: in the chosen concept, else anywhere."""
        found = self._by_stem.get(folded(incoming.stem), [])
        near = [path for path in found if path.rpartition("/")[0] == self._concept]
        candidates = near or found
        if len(candidates) != 1:
            return _refused(incoming, "several_pictures" if candidates else "no_picture")
        if not self._give_caption(candidates[0], caption):
            return _refused(incoming, "has_caption", candidates[0])
        return ImportOutcome(captions=1)

    def _twin(self, incoming: IncomingFile, path: str, caption: bytes | None) -> ImportOutcome:
        """What becomes of a picture that is there already."""
        if caption is not None and self._give_caption(path, caption):
            # With new captions for old pictures the pictures are no news.
            refused = None if self._overwrite else RefusedFile(name=incoming.shown, reason="duplicate", detail=path)
            return ImportOutcome(captions=1, refused=refused)
        captioned = caption is not None and caption != self._caption_bytes(path)
        return _refused(incoming, "duplicate_captioned" if captioned else "duplicate", path)

    def _give_caption(self, path: str, caption: bytes) -> bool:
        """Write the caption of a picture that is there; False where it has one that is to stay."""
        image = self._folder / path
        file = caption_file_of(image)
        if read_caption_file(file).state not in ("missing", "empty") and not self._overwrite:
            return False
        self._write(file or image.with_suffix(".txt"), caption)
        return True

    def _caption_bytes(self, path: str) -> bytes | None:
        file = caption_file_of(self._folder / path)
        try:
            return None if file is None else file.read_bytes()
        except OSError:
            return None

    def _free_place(self, folder: str, name: str, *, captioned: bool) -> Path:
        parent = self._folder / folder
        parent.mkdir(exist_ok=True)
        images, texts = self._stems_in(folder)
        # A caption that waits for its picture is meant for a picture that comes without one.
        stem = free_stem(Path(name).stem, images | texts if captioned else images)
        images.add(folded(stem))
        return parent / f"{stem}{Path(name).suffix.lower()}"

    def _stems_in(self, folder: str) -> tuple[set[str], set[str]]:
        if folder not in self._taken:
            # Also pictures that the index does not know: hidden ones, and formats that are not read.
            names = [Path(name) for name in os.listdir(self._folder / folder)]
            images = {folded(path.stem) for path in names if path.suffix.lower() != ".txt"}
            texts = {folded(path.stem) for path in names if path.suffix.lower() == ".txt"}
            self._taken[folder] = images, texts
        return self._taken[folder]

    def _remember(self, target: Path, original_stem: str, record: Record) -> None:
        relative = target.relative_to(self._folder).as_posix()
        self._records[relative] = record.of_file(target.stat())
        self._by_key[record.key] = relative
        self._remember_stem(original_stem, relative)
        if time.monotonic() - self._saved > _SAVE_EVERY_S:
            # The GUI shows what has arrived.
            write_index(self._places.index, self._records)
            self._saved = time.monotonic()

    def _remember_stem(self, stem: str, path: str) -> None:
        self._by_stem.setdefault(folded(stem), []).append(path)

    def _write(self, target: Path, data: bytes) -> None:
        temporary = self._scratch / "caption"
        temporary.write_bytes(data)
        replace_file(temporary, target)

    def _arrive(self, file: Path, target: Path, *, move: bool) -> None:
        if move and file.stat().st_dev == target.parent.stat().st_dev:
            replace_file(file, target)
            return
        temporary = self._scratch / "picture"
        shutil.copy2(file, temporary)
        replace_file(temporary, target)


def _refused(incoming: IncomingFile, reason: str, detail: str = "") -> ImportOutcome:
    return ImportOutcome(refused=RefusedFile(name=incoming.shown, reason=reason, detail=detail))
