"""What is known of each picture of a data set once it was decoded: one JSON file a data set, and its small pictures.

All of it can be made anew from the pictures; the files lie in the workspace, never in the data set.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Self

from trainer_core.contracts.fsutil import json_text, write_text_atomic
from trainer_core.contracts.workspace import Workspace

# Size and times of a file. The last is of its entry in the file system: two files of one size and time that change
# names differ in it (on Windows, where it is the creation time, mostly).
Stamp = tuple[int, int, int]

_VERSION = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One picture as it was when it was looked at.

    Attributes:
        bytes, mtime_ns, ctime_ns: the file's `Stamp`; another one may mean another picture.
        width, height: pixels after the EXIF turn; 0 where it cannot be decoded.
        key: hash of the file's bytes; equal for equal files. Its small pictures are named by it.
        rows, columns: 64 bits each, brightness rising along rows and columns; few differing bits mean look-alikes.
        problem, reason: the kind of an `ImageProblem` and its sentence; "" for a sound picture.
    """

    bytes: int
    mtime_ns: int
    ctime_ns: int = 0
    width: int = 0
    height: int = 0
    key: str = ""
    rows: int = 0
    columns: int = 0
    problem: str = ""
    reason: str = ""

    @property
    def stamp(self) -> Stamp:
        return self.bytes, self.mtime_ns, self.ctime_ns

    def of_file(self, status: os.stat_result) -> Self:
        """The same picture in a file of this status."""
        size, mtime_ns, ctime_ns = stamp_of(status)
        return replace(self, bytes=size, mtime_ns=mtime_ns, ctime_ns=ctime_ns)


def stamp_of(status: os.stat_result) -> Stamp:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


class IndexPlaces:
    """Where the index, the small pictures and the undo file of a data set lie."""

    def __init__(self, workspace: Workspace, folder: Path) -> None:
        self._workspace = workspace
        self._name = blake2b(str(folder.absolute()).encode("utf-8", "surrogatepass"), digest_size=10).hexdigest()

    @property
    def index(self) -> Path:
        return self._workspace.thumbnails / f"index-{self._name}.json"

    @property
    def undo(self) -> Path:
        """Not with what can be made anew: emptying the small pictures must not cost an undo."""
        return self._workspace.private / f"undo-{self._name}.json"

    def thumbnail(self, key: str) -> Path:
        """At most 256 pixels a side."""
        return self._workspace.thumbnails / thumbnail_name(key)

    def preview(self, key: str) -> Path:
        """At most 1024 pixels a side."""
        return self._workspace.thumbnails / preview_name(key)

    def follow(self, new: "IndexPlaces") -> None:
        """The data set's folder was renamed: its index and undo file go with it."""
        for old, moved in ((self.index, new.index), (self.undo, new.undo)):
            if old.is_file():
                old.replace(moved)


class KnownRecords:
    """The records of one data set, found again also after a folder was renamed."""

    def __init__(self, records: Mapping[str, Record]) -> None:
        self._by_path = records
        self._by_key = {record.key: record for record in records.values() if record.key}
        self._by_file = {_file_key(path, r.stamp): r for path, r in records.items()}

    def twin(self, key: str) -> Record | None:
        """A sound picture with these bytes."""
        return self._by_key.get(key)

    def add(self, record: Record) -> None:
        """A picture that was looked at just now."""
        if record.key:
            self._by_key[record.key] = record

    def find(self, relative: str, stamp: Stamp) -> Record | None:
        """The record of a file that has not changed since: by its path, else by name and stamp."""
        record = self._by_path.get(relative)
        if record is not None and record.stamp == stamp:
            return record
        return self._by_file.get(_file_key(relative, stamp))


def thumbnail_name(key: str) -> str:
    return f"{key}.webp"


def preview_name(key: str) -> str:
    return f"{key}-large.webp"


def read_index(file: Path) -> dict[str, Record]:
    """Records by the picture's path inside the data set; empty where there is no readable index."""
    try:
        content = json.loads(file.read_bytes())
        if content["version"] != _VERSION:
            return {}
        return {path: Record(**values) for path, values in content["pictures"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def write_index(file: Path, records: Mapping[str, Record]) -> None:
    """Replace the index. Raises OSError."""
    pictures = {path: _without_defaults(record) for path, record in records.items()}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomic(file, json_text({"version": _VERSION, "pictures": pictures}))


def _without_defaults(record: Record) -> dict[str, object]:
    return {name: value for name, value in asdict(record).items() if value}


def _file_key(relative: str, stamp: Stamp) -> tuple[str, Stamp]:
    return relative.rpartition("/")[2], stamp
