"""A folder as a zip that is made while it is sent: nothing on disk, a few megabytes in memory, any size."""

import errno
import io
import os
import stat
import zipfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

_PIECE = 1024 * 1024
# Text shrinks to a fraction; weights and pictures do not shrink, so that packing them would cost time only.
_PACKED_SUFFIXES = frozenset({".csv", ".json", ".jsonl", ".log", ".md", ".toml", ".txt"})
MISSING_NAME = "incomplete.txt"


class _Outbox(io.RawIOBase):
    """What zipfile writes, until it is taken. Not seekable: zipfile then puts sizes and sums behind each file."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def zip_pieces(folder: Path) -> Generator[bytes]:
    """Yield the zip of ``folder``, its files below one top folder of its name.

    Left out: hidden files and folders, links. Each file goes in with at most the length it had when its turn came.
    One that has gone by then, cannot be read, or becomes shorter is named in ``incomplete.txt`` inside the zip.
    """
    outbox = _Outbox()
    missing: list[str] = []
    with zipfile.ZipFile(outbox, "w") as archive:
        # Listed before the first is read: what goes away in between is noticed.
        for path in list(_files(folder)):
            name = _utf8(path.relative_to(folder.parent).as_posix())
            try:
                yield from _packed(archive, outbox, path, name)
            except OSError as error:
                missing.append(f"{name}: {error.strerror}")
        if missing:
            archive.writestr(f"{_utf8(folder.name)}/{MISSING_NAME}", "\n".join(missing) + "\n")
    yield outbox.take()


def _files(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(names):
            path = Path(parent, name)
            if name[0] != "." and not path.is_symlink():
                yield path


def _packed(archive: zipfile.ZipFile, outbox: _Outbox, path: Path, name: str) -> Iterator[bytes]:
    if not stat.S_ISREG(path.stat().st_mode):
        return
    with open(path, "rb") as file:
        facts = os.fstat(file.fileno())
        entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
        entry.compress_type = zipfile.ZIP_DEFLATED if path.suffix.lower() in _PACKED_SUFFIXES else zipfile.ZIP_STORED
        # Decides between the plain and the 64-bit form, so it must not be passed while reading.
        entry.file_size = left = facts.st_size
        with archive.open(entry, "w") as packed:
            while left and (piece := file.read(min(_PIECE, left))):
                left -= len(piece)
                packed.write(piece)
                yield outbox.take()
    yield outbox.take()
    if left:
        raise OSError(errno.EIO, "became shorter while it was packed")


def _utf8(name: str) -> str:
    """A name that is no valid Unicode with "?" in place of the odd bytes."""
    return name.encode("utf-8", "replace").decode("utf-8")
