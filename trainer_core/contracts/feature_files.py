"""Which files in a folder are the feature cache's: known by name and form, so that nobody else's is ever removed."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from trainer_core.contracts.fsutil import read_json_object

KINDS = ("latents", "gemma", "jina", "cut")
ENDING = ".safetensors"
_SHARD = re.compile(r"[0-9a-f]{2}")
_ENTRY = re.compile(r"[0-9a-f]{64}\.safetensors")


def entry_file(root: Path, kind: str, key: str) -> Path:
    """``root/latents/ab/abc….safetensors``; ``key`` is a SHA-256 in hex."""
    return root / kind / key[:2] / f"{key}{ENDING}"


def index_file(root: Path) -> Path:
    # A name that nobody else's file has: a cache_dir may be any folder.
    return root / "newbie-hashes.json"


def read_index(file: Path) -> dict[str, list[object]]:
    """By file name: size, time, inode, ctime, SHA-256. What has another form is left out; all of a damaged file."""
    return {name: entry for name, entry in read_json_object(file).items() if _is_stamp(entry)}


def entries(root: Path) -> Iterator[Path]:
    """Every file whose folders and name are those of an entry."""
    for shard in _shards(root):
        for file in listed(shard):
            if _ENTRY.fullmatch(file.name) and file.name.startswith(shard.name):
                yield Path(file.path)


def is_cache(root: Path) -> bool:
    """Whether a feature cache was written here: an entry, or an index of ours. An empty folder may become one."""
    return not listed(root) or next(entries(root), None) is not None or bool(read_index(index_file(root)))


def clear(root: Path) -> tuple[int, int]:
    """Remove the entries, the index and the folders that are empty then; returns (entries, bytes). Raises OSError."""
    files = list(entries(root))
    size = sum(file.stat().st_size for file in files)
    for file in files:
        file.unlink(missing_ok=True)
    if read_index(index_file(root)):
        index_file(root).unlink(missing_ok=True)
    for folder in (*_shards(root), *(root / kind for kind in KINDS)):
        # Not there, or something of somebody else's is in it.
        with suppress(OSError):
            folder.rmdir()
    return len(files), size


def _shards(root: Path) -> Iterator[Path]:
    for kind in KINDS:
        yield from (Path(entry.path) for entry in listed(root / kind) if _SHARD.fullmatch(entry.name))


def listed(folder: str | Path) -> list[os.DirEntry[str]]:
    """What is in a folder; nothing in one that is not there."""
    try:
        with os.scandir(folder) as found:
            return [*found]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_stamp(entry: object) -> bool:
    return isinstance(entry, list) and [type(part) for part in entry] == [int, int, int, int, str]
