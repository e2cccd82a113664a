"""The pictures of a data set as the browser side shows them: read from disk and index, nothing decoded."""

import os
import re
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.buckets import Assignment, BucketPlan
from trainer_core.dataset.caption_files import CaptionText, read_caption_file
from trainer_core.dataset.captions import tags_of
from trainer_core.dataset.duplicates import duplicate_groups
from trainer_core.dataset.finding import DataProblem, Finding, find_images
from trainer_core.dataset.index_file import IndexPlaces, KnownRecords, Record, Stamp, read_index, stamp_of
from trainer_core.dataset.xml_captions import xml_mistake

MAX_FILES = 200_000
# Of a file that cannot be asked.
_NO_STAMP: Stamp = (-1, -1, -1)
_NUMBER = re.compile("([0-9]+)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One picture with its caption.

    Attributes:
        relative: path inside the data set, with ``/``.
        folder: ``relative`` without the name; "" for the data set's own folder.
        tags: of the caption, in order.
        mistake: what is wrong with the caption's XML, as one clause; "" where nothing is.
        record: what the index knows; ``None`` = not looked at yet, or changed since.
    """

    path: Path
    relative: str
    folder: str
    repeats: int
    caption: CaptionText
    caption_file: Path | None
    tags: tuple[str, ...]
    mistake: str
    record: Record | None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def usable(self) -> bool:
        """A training takes it, as far as is known."""
        damaged = self.record is not None and self.record.problem
        return not damaged and self.caption.state not in ("encoding", "unreadable")


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """A data set at one moment, pictures as a person counts them: img_2 before img_10.

    ``groups_before``: of a moment with the same pictures.
    """

    pictures: tuple[Picture, ...]
    problems: tuple[DataProblem, ...]
    number: int
    groups_before: tuple[tuple[str, ...], ...] | None = None

    @property
    def pending(self) -> int:
        """Pictures that an index job has to look at."""
        return sum(picture.record is None for picture in self.pictures)

    @cached_property
    def by_path(self) -> dict[str, Picture]:
        return {picture.relative: picture for picture in self.pictures}

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Pictures that are the same or nearly: see `duplicate_groups`."""
        if self.groups_before is not None:
            return self.groups_before
        return duplicate_groups({p.relative: p.record for p in self.pictures if p.record is not None})

    @cached_property
    def tag_counts(self) -> tuple[tuple[str, int], ...]:
        """Every tag with the number of captions it is in, most frequent first."""
        counts = Counter(tag for picture in self.pictures for tag in set(picture.tags))
        return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def placed(self, plan: BucketPlan) -> dict[str, Assignment]:
        """The bucket of each picture whose size is known. Assigned once a size: sizes repeat."""
        sizes = {(p.record.width, p.record.height) for p in self.pictures if p.record and p.record.width}
        assigned = {size: plan.assign(*size) for size in sizes}
        return {
            picture.relative: assigned[picture.record.width, picture.record.height]
            for picture in self.pictures
            if picture.record and picture.record.width
        }


@dataclass
class _Captions:
    """Captions by file, read anew only when the file changed."""

    read: dict[Path, tuple[Stamp, CaptionText, tuple[str, ...], str]] = field(default_factory=dict)

    def get(self, file: Path | None, stamps: dict[str, Stamp]) -> tuple[CaptionText, tuple[str, ...], str]:
        """The caption, its tags, and the mistake in its XML."""
        if file is None:
            return CaptionText(), (), ""
        stamp = stamps.get(str(file), _NO_STAMP)
        before = self.read.get(file)
        if before is None or before[0] != stamp:
            caption = read_caption_file(file)
            before = stamp, caption, tuple(tags_of(caption.text)), xml_mistake(caption.text)
            self.read[file] = before
        return before[1:]


class DatasetIndex:
    """One data set, kept in memory and compared with the disk at every `snapshot`. For several threads."""

    def __init__(self, folder: Path, places: IndexPlaces) -> None:
        self._folder = folder
        self._places = places
        self._lock = threading.Lock()
        self._captions = _Captions()
        self._seen: tuple[dict[str, Stamp], Stamp] | None = None
        self._snapshot = Snapshot(pictures=(), problems=(), number=0)
        # What a changed caption leaves as it was: saving one of 5,000 must not take a second.
        self._finding = Finding(pictures=(), problems=())
        self._known = KnownRecords({})

    def snapshot(self) -> Snapshot:
        """What is on disk now; the same object as before as long as nothing changed there.

        Raises:
            UserError: `dataset_missing`, `dataset_too_large` (more than 200,000 files).
        """
        with self._lock:
            seen = _stamps(self._folder), _stamp_of(self._places.index)
            if seen != self._seen:
                before = self._seen
                if before is None or before[1] != seen[1]:
                    self._known = KnownRecords(read_index(self._places.index))
                if before is None or before[0].keys() != seen[0].keys():
                    found = find_images(self._folder)
                    # Sorted here: a changed caption leaves names as they are.
                    pictures = sorted(found.pictures, key=lambda picture: _counted(str(picture.relative)))
                    self._finding = replace(found, pictures=tuple(pictures))
                self._snapshot = self._read(seen[0])
                self._seen = seen
            return self._snapshot

    def _read(self, stamps: dict[str, Stamp]) -> Snapshot:
        pictures = []
        for found in self._finding.pictures:
            caption, tags, mistake = self._captions.get(found.caption_file, stamps)
            relative = str(found.relative)
            stamp = stamps.get(str(found.path), _NO_STAMP)
            pictures.append(
                Picture(
                    path=found.path,
                    relative=relative,
                    folder=relative.rpartition("/")[0],
                    repeats=found.repeats,
                    caption=caption,
                    caption_file=found.caption_file,
                    tags=tags,
                    mistake=mistake,
                    record=self._known.find(relative, stamp),
                )
            )
        before = self._snapshot
        same = [(p.relative, p.record) for p in pictures] == [(p.relative, p.record) for p in before.pictures]
        return Snapshot(
            pictures=tuple(pictures),
            problems=tuple(sorted(self._finding.problems, key=lambda problem: (str(problem.path), problem.kind))),
            number=before.number + 1,
            groups_before=before.groups if same else None,
        )


def _counted(path: str) -> tuple[list[str | int], str]:
    """Sorts numbers by their size and letters in any case."""
    parts = _NUMBER.split(path.casefold())
    return [int(part) if number % 2 else part for number, part in enumerate(parts)], path


def _stamps(folder: Path) -> dict[str, Stamp]:
    """The stamp of every visible file below ``folder``: cheap, and different as soon as anything is."""
    if not folder.is_dir():
        raise UserError("dataset_missing", f"{folder} is not a folder.", ["Check the path."])
    stamps: dict[str, Stamp] = {}
    waiting = [str(folder)]
    while waiting:
        for entry in _entries(waiting.pop()):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(entry.path)
            else:
                stamps[entry.path] = _stamp_of(entry)
        if len(stamps) > MAX_FILES:
            raise UserError(
                "dataset_too_large",
                f"{folder} holds more than {MAX_FILES} files; that many cannot be shown.",
                ["Choose the folder with the pictures itself."],
            )
    return stamps


def _entries(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError:
        # A folder that may not be read; the walk over the pictures says so.
        return []


def _stamp_of(file: "os.DirEntry[str] | Path") -> Stamp:
    try:
        return stamp_of(file.stat())
    except OSError:
        return _NO_STAMP
