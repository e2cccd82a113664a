"""Reading an events.jsonl that grows, without reading any line twice."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

_PIECE = 4 * 2**20
# So many bytes before the place read up to must still be the same, else the file is another one.
_WITNESS = 256


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Up to where the file was read: a byte offset, the file's number, and the bytes before the offset."""

    offset: int = 0
    inode: int = 0
    before: bytes = b""


class LogTail:
    """Hands out the events of ``path`` in order, each once.

    A trainer that resumes replaces the file by a shorter one; `restarted` then tells that reading begins anew.
    Memory is bounded by pieces of 4 MiB, whatever the file's length.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._place = _Place()

    def restarted(self) -> bool:
        """True if the file is no longer the one read so far: what was read from it counts no more. Call it first."""
        if self._place.offset == 0 or self._same():
            return False
        self._place = _Place()
        return True

    def events(self) -> Iterator[dict[str, Any]]:
        """The events in complete lines since the last call. Lines that are no JSON object are skipped."""
        try:
            with open(self._path, "rb") as file:
                yield from self._read(file)
        except FileNotFoundError:
            return

    def _read(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        inode = os.fstat(file.fileno()).st_ino
        file.seek(self._place.offset)
        while piece := _complete(file):
            before = (self._place.before + piece)[-_WITNESS:] if len(piece) < _WITNESS else piece[-_WITNESS:]
            self._place = _Place(offset=self._place.offset + len(piece), inode=inode, before=before)
            for line in piece.splitlines():
                event = _parsed(line)
                if event is not None:
                    yield event

    def _same(self) -> bool:
        place = self._place
        try:
            with open(self._path, "rb") as file:
                state = os.fstat(file.fileno())
                if state.st_size < place.offset or state.st_ino != place.inode:
                    return False
                file.seek(place.offset - len(place.before))
                return file.read(len(place.before)) == place.before
        except FileNotFoundError:
            return False


def _complete(file: BinaryIO) -> bytes:
    """The next piece up to its last line break; the file stands behind it. Empty at the end."""
    start, size = file.tell(), _PIECE
    while True:
        data = file.read(size)
        end = data.rfind(b"\n") + 1
        if end or len(data) < size:
            file.seek(start + end)
            return data[:end]
        # One line longer than a piece.
        file.seek(start)
        size *= 2


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        event = orjson.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None
