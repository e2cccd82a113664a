"""Where on a disk something lies or will lie, and whether there is room for it."""

import errno
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.errors import UserError

# Beside a model's tensors: configs, tokenizers, and a file system's own needs.
SLACK_BYTES = 2**26


@dataclass(frozen=True, kw_only=True)
class DiskSpace:
    """Bytes."""

    total: int
    free: int


def bytes_of(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else (path,)
    return sum(file.stat().st_size for file in files if file.is_file())


def nearest_existing(path: Path) -> Path:
    """What lies at the path, or the nearest above it that is there; a dangling link counts. Raises OSError."""
    for place in (path, *path.absolute().parents):
        try:
            place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        return place
    raise FileNotFoundError(str(path))


def folder_problem(path: Path) -> OSError | None:
    """Why a folder could not be made at the path, or not written to if it is there; makes nothing."""
    try:
        above = nearest_existing(path)
    except OSError as error:
        return error
    code = 0 if above.is_dir() else errno.ENOTDIR
    if not code and not os.access(above, os.W_OK | os.X_OK):
        code = errno.EACCES
    return OSError(code, os.strerror(code), str(above)) if code else None


def disk_space(path: Path) -> DiskSpace | None:
    """Of the disk that holds the path or will hold it; None where it tells nothing."""
    for place in (path, *path.absolute().parents):
        try:
            usage = shutil.disk_usage(place)
        except OSError:
            continue
        return DiskSpace(total=usage.total, free=usage.free)
    return None


def require_space(path: Path, needed: int, what: str, hints: Sequence[str]) -> None:
    """Raises UserError `disk_full` where ``needed`` bytes for ``what`` are not free at the path."""
    space = disk_space(path)
    if space is not None and space.free < needed:
        raise UserError(
            "disk_full",
            f"Not enough space for {what} in {path}: {needed / 2**20:.1f} MiB needed, {space.free / 2**20:.1f} free. "
            "Nothing was written.",
            hints,
        )
