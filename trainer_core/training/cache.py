"""Content-addressed store of features: latents and text features are found by what they were made from.

A key is the SHA-256 of everything that decides the value (bytes, texts, encoder, dtype, format version), so an
entry is never stale: what changed has another key. Entries are safetensors files, written atomically, each with
the SHA-256 of its own tensors. An index by path, size, times and inode spares hashing unchanged files.
"""

import json
import os
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trainer_core.contracts import feature_files
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import (
    fsync_file,
    is_disk_full,
    remove_leftovers,
    sha256_file,
    whole_file,
    write_json_atomic,
)
from trainer_core.model.identity import identity_files

FORMAT = 1
# An entry is written within seconds; several machines may share one store.
_LEFT_S = 3600.0


def cache_root(config: TrainConfig) -> Path | None:
    """The folder of a run's features; None where they stay in memory."""
    if not config.use_cache:
        return None
    return Path(config.cache_dir) if config.cache_dir else Path(config.output_dir) / ".cache"


class HashIndex:
    """SHA-256 of files, remembered by path and stamp; `save` writes what was learnt. None = nowhere."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        # A damaged index only costs time: every file is hashed again.
        self._known = {} if file is None else feature_files.read_index(file)
        self._folders: dict[str, str] = {}
        self._changed = False

    def hash_of(self, file: Path) -> str:
        """Hex SHA-256 of the file's bytes."""
        name = self._name_of(file)
        status = file.stat()
        # Two files of one size and time that change names are seen by the last two (ctime: not on Windows).
        stamp: list[object] = [status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns]
        known = self._known.get(name)
        if known is not None and known[:-1] == stamp:
            return str(known[-1])
        digest = sha256_file(file)
        self._known[name] = [*stamp, digest]
        self._changed = True
        return digest

    def _name_of(self, file: Path) -> str:
        """Absolute, links followed; a folder's only once, for that costs more than all the rest of a look."""
        if file.is_symlink():
            return str(file.resolve())
        folder = str(file.parent)
        if folder not in self._folders:
            self._folders[folder] = os.path.realpath(folder)
        return os.path.join(self._folders[folder], file.name)

    def save(self) -> None:
        if self._changed and self._file is not None:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_json_atomic(self._file, self._known)
            self._changed = False


def part_id(path: Path, index: HashIndex) -> str:
    """Identity of a part of the base, a folder or a file: its weights, config and tokenizer files, by content."""
    listing = [[name, index.hash_of(file)] for name, file in identity_files(path)]
    return sha256(json.dumps(listing).encode()).hexdigest()


def key_of(**parts: object) -> str:
    """The address of a value made from `parts` (JSON values)."""
    text = json.dumps({"format": FORMAT, **parts}, sort_keys=True, ensure_ascii=False)
    return sha256(text.encode()).hexdigest()


class MemoryCache:
    """The same store for one run only, in memory: nothing of it reaches the disk, not even the hash index."""

    def __init__(self) -> None:
        self.index = HashIndex(None)
        self._entries: dict[tuple[str, str], dict[str, Tensor]] = {}

    def keys(self, kind: str) -> set[str]:
        return {key for of, key in self._entries if of == kind}

    def put(self, kind: str, key: str, tensors: Mapping[str, Tensor]) -> None:
        # Copied: a slice of a batch would keep the whole batch alive.
        self._entries[kind, key] = {name: value.detach().to("cpu", copy=True) for name, value in tensors.items()}

    def get(self, kind: str, key: str) -> dict[str, Tensor]:
        return self._entries[kind, key]


class FeatureCache:
    """The store under `root`; kinds are its folders: latents, gemma, jina, and cut (texts that a token limit cut)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.index = HashIndex(feature_files.index_file(root))
        # A folder that somebody gave as cache_dir may hold what others have begun.
        if feature_files.is_cache(root):
            remove_leftovers(root, older_than_s=_LEFT_S)

    def file(self, kind: str, key: str) -> Path:
        return feature_files.entry_file(self.root, kind, key)

    def keys(self, kind: str) -> set[str]:
        """Of the entries there are now. One listing: asking the disk for ten thousand files takes seconds."""
        return {
            entry.name.removesuffix(feature_files.ENDING)
            for folder in feature_files.listed(self.root / kind)
            for entry in feature_files.listed(folder.path)
            if entry.name.endswith(feature_files.ENDING)
        }

    def put(self, kind: str, key: str, tensors: Mapping[str, Tensor]) -> None:
        """Write one entry: complete under its name, or not there at all. Raises UserError `disk_full`, OSError."""
        file = self.file(kind, key)
        file.parent.mkdir(parents=True, exist_ok=True)
        contiguous = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        try:
            # All begun in one place, where what a killed process leaves is soon found. A lost name is only encoded
            # again, so nothing waits for that.
            with whole_file(file, beside=self.root / file.name, flush=False) as temporary:
                save_file(contiguous, temporary, metadata={"sha256": _digest(contiguous)})
                fsync_file(temporary)
        except (OSError, SafetensorError) as error:
            if not is_disk_full(error):
                raise
            raise self._full(sum(value.nbytes for value in contiguous.values())) from error

    def _full(self, needed: int) -> UserError:
        free = shutil.disk_usage(self.root).free
        return UserError(
            "disk_full",
            f"Not enough space for the features of the data set in {self.root}: at least {needed / 2**20:.2f} MiB "
            f"more are needed, {free / 2**20:.2f} are free.",
            [
                "Free some space, then start the run again: what was encoded is kept.",
                "Or set cache_dir to another disk.",
            ],
        )

    def get(self, kind: str, key: str) -> dict[str, Tensor]:
        """Raises UserError `cache_damaged` for an entry that is absent or cut off; only `verify` rehashes."""
        file = self.file(kind, key)
        try:
            with safe_open(file, framework="pt") as entry:
                return {name: entry.get_tensor(name) for name in entry.keys()}
        except (SafetensorError, OSError) as error:
            raise UserError(
                "cache_damaged",
                f"The feature cache entry {file} cannot be read ({error}).",
                [
                    f"Run `python -m trainer_core cache --verify {self.root}`, then start the run again: it is made "
                    "anew."
                ],
            ) from error

    def verify(self) -> list[Path]:
        """Rehash every entry; the damaged ones are removed (they will be made anew) and returned."""
        damaged = sorted(file for file in feature_files.entries(self.root) if not _is_whole(file))
        for file in damaged:
            file.unlink()
        return damaged


def _digest(tensors: Mapping[str, Tensor]) -> str:
    digest = sha256()
    for name in sorted(tensors):
        value = tensors[name]
        digest.update(f"{name}{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _is_whole(file: Path) -> bool:
    try:
        with safe_open(file, framework="pt") as entry:
            tensors = {name: entry.get_tensor(name) for name in entry.keys()}
            stated = (entry.metadata() or {}).get("sha256")
    except (SafetensorError, OSError):
        return False
    return stated == _digest(tensors)
