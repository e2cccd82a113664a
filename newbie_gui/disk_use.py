"""How much disk each part of the workspace takes, and making room in it."""

import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts import feature_files
from trainer_core.contracts.checkpoints import prune
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.workspace import Workspace

PARTS = ("datasets", "output", "models", "loras", "cache", "thumbnails", "uploads", "jobs", "trash")
CLEANABLE = ("output", "cache", "thumbnails", "uploads", "jobs", "trash")
# What a running job may be reading or writing.
IN_USE = frozenset({"cache", "thumbnails"})
_KEPT_CHECKPOINTS = 2
_UPLOAD_AGE_S = 3600


@dataclass(frozen=True, kw_only=True)
class PartUsage:
    """One part of the workspace: bytes in it, hard-linked files counted once, and entries at its top.

    Of the uploads only those that hold something: each leaves its folder behind when it is taken in.
    """

    part: str
    bytes: int
    entries: int


def folder_of(workspace: Workspace, part: str) -> Path:
    """The folder of one of `PARTS`. Raises ValueError for anything else."""
    if part not in PARTS:
        raise ValueError(f"{part!r} is none of {', '.join(PARTS)}")
    folder: Path = getattr(workspace, part)
    return folder


def measure(workspace: Workspace) -> tuple[PartUsage, ...]:
    """All parts, in the order of `PARTS`. Walks every folder: seconds for a hundred thousand files."""
    seen: set[tuple[int, int]] = set()
    uses = []
    for part in PARTS:
        folder = folder_of(workspace, part)
        names = [name for name in os.listdir(folder) if not name.startswith(".")] if folder.is_dir() else []
        if part == "uploads":
            names = [name for name in names if next(_files(folder / name), None)]
        uses.append(PartUsage(part=part, bytes=_bytes(folder, seen), entries=len(names)))
    return tuple(uses)


def clean(workspace: Workspace, part: str, *, needed: Iterable[str] = ()) -> None:
    """Make room in one of `CLEANABLE`; what each does is said in texts/frame.py.

    Args:
        needed: uploaded files that jobs which are not done still take in; they stay, however old.

    Raises:
        ValueError: the part cannot be cleaned; OSError: the disk refused.
    """
    if part not in CLEANABLE:
        raise ValueError(f"{part!r} is none of {', '.join(CLEANABLE)}")
    folder = folder_of(workspace, part)
    if part == "output":
        _prune_runs(folder)
    elif part == "cache":
        feature_files.clear(folder)
    elif part == "uploads":
        _remove_older(folder, time.time() - _UPLOAD_AGE_S, _tops(folder, needed))
    elif part != "jobs":
        for entry in _entries(folder):
            _remove(entry)


def _entries(folder: Path) -> list[Path]:
    """What lies directly in a part; nothing where somebody removed its folder."""
    return list(folder.iterdir()) if folder.is_dir() else []


def _prune_runs(output: Path) -> None:
    for folder in _entries(output):
        run = RunDir(folder)
        if run.checkpoints.is_dir() and run.status() != "running":
            prune(run.checkpoints, _KEPT_CHECKPOINTS)


def _tops(folder: Path, files: Iterable[str]) -> frozenset[str]:
    """Names of what lies directly in ``folder`` and is, or holds, one of the files."""
    root = folder.resolve()
    paths = (Path(file).resolve() for file in files)
    return frozenset(path.relative_to(root).parts[0] for path in paths if root in path.parents)


def _remove_older(folder: Path, limit: float, kept: frozenset[str]) -> None:
    for entry in _entries(folder):
        if entry.stat().st_mtime < limit and entry.name not in kept:
            _remove(entry)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _bytes(folder: Path, seen: set[tuple[int, int]]) -> int:
    """Bytes of all files below; links are not followed."""
    total = 0
    for entry in _files(folder):
        try:
            status = entry.stat(follow_symlinks=False)
        except OSError:
            # Removed while we look: it takes no room any more.
            continue
        identity = (status.st_dev, status.st_ino)
        # Windows tells no inode in a listing: every file counts there.
        if status.st_nlink > 1 and status.st_ino and identity in seen:
            continue
        seen.add(identity)
        total += status.st_size
    return total


def _files(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield entry
