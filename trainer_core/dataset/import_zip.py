"""Zip files from anywhere, walked entry by entry: nothing is unpacked that is no picture and no caption."""

import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from trainer_core.dataset.finding import is_numbered, repeats_of
from trainer_core.dataset.import_names import decoded_zip_names, is_junk
from trainer_core.dataset.import_plan import IncomingFile, RefusedFile, kind_of

MAX_ENTRIES = 10_000
MAX_TOTAL = 8 << 30
MAX_RATIO = 100

_BLOCK = 1 << 20
_SMALL = 1 << 20
_UTF8_FLAG = 0x800
_ENCRYPTED = 0x1
# What `zipfile` really raises on damaged archives.
BROKEN_ZIP = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    ValueError,
    LookupError,
    OverflowError,
    struct.error,
    zlib.error,
)


class ZipRefused(Exception):
    """The archive, or one entry of it, is not taken. ``refused`` says why."""

    def __init__(self, refused: RefusedFile) -> None:
        super().__init__(refused.reason)
        self.refused = refused


def list_zip(path: Path, archive: zipfile.ZipFile) -> Iterator[IncomingFile | RefusedFile]:
    """Every picture and caption of an open archive, and what is refused of the rest.

    Raises:
        ZipRefused: the archive as a whole is too much: entries, bytes, or bytes against its own size.
    """
    entries = archive.infolist()
    _require_sane(path, entries)
    for index, (entry, name) in enumerate(zip(entries, _names(entries), strict=True)):
        clean = name.replace("\\", "/")
        if clean.endswith("/") or is_junk(clean):
            continue
        shown = f"{path.name}/{clean}"
        reason = _reason_against(entry, clean)
        if reason:
            yield RefusedFile(name=shown, reason=reason)
            continue
        folder, _, base = clean.rpartition("/")
        yield IncomingFile(
            shown=shown,
            name=base,
            group=f"{path}\0{folder}",
            concept=_concept(folder),
            size=entry.file_size,
            origin=path,
            entry=index,
        )


def inflate(archive: zipfile.ZipFile, incoming: IncomingFile, target: Path) -> None:
    """Write one entry to ``target``, counting its bytes: never more than the archive declared.

    Raises:
        ZipRefused: damaged or larger than declared; what was written is removed.
        OSError: the disk refused.
    """
    entry = archive.infolist()[incoming.entry]
    written = 0
    try:
        with open(target, "wb") as file:
            for block in _blocks(archive, entry):
                written += len(block)
                if written > entry.file_size:
                    raise ValueError("larger than declared")
                file.write(block)
    except BROKEN_ZIP as error:
        target.unlink(missing_ok=True)
        raise ZipRefused(RefusedFile(name=incoming.shown, reason="zip_broken", detail=str(error))) from error


def _blocks(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    """The entry's bytes. Raises one of BROKEN_ZIP."""
    try:
        with archive.open(entry) as source:
            while block := source.read(_BLOCK):
                yield block
    except OSError as error:
        # A place that no file has, as a damaged list may name it: the disk that is written to is not to blame.
        raise zipfile.BadZipFile(error.strerror or str(error)) from error


def _require_sane(path: Path, entries: list[zipfile.ZipInfo]) -> None:
    total = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES:
        raise ZipRefused(RefusedFile(name=path.name, reason="zip_entries", detail=f"{len(entries)}"))
    if total > MAX_TOTAL:
        raise ZipRefused(RefusedFile(name=path.name, reason="zip_size", detail=f"{total / 2**30:.1f}"))
    if total > max(_SMALL, MAX_RATIO * path.stat().st_size):
        raise ZipRefused(RefusedFile(name=path.name, reason="zip_ratio"))


def _names(entries: list[zipfile.ZipInfo]) -> list[str]:
    """Names as their writer meant them; `zipfile` reads those without a declared encoding as CP437."""
    undeclared = [entry for entry in entries if not entry.flag_bits & _UTF8_FLAG]
    decoded = decoded_zip_names([entry.orig_filename.encode("cp437") for entry in undeclared])
    by_entry = dict(zip(map(id, undeclared), decoded, strict=True))
    return [by_entry.get(id(entry), entry.orig_filename) for entry in entries]


def _reason_against(entry: zipfile.ZipInfo, name: str) -> str:
    """Why an entry is refused, "" if it is not."""
    if entry.flag_bits & _ENCRYPTED:
        return "zip_encrypted"
    mode = entry.external_attr >> 16
    if stat.S_ISLNK(mode) or (stat.S_IFMT(mode) and not stat.S_ISREG(mode)):
        return "zip_link"
    if name.startswith("/") or ":" in name or "\0" in name or ".." in name.split("/"):
        return "zip_path"
    kind = kind_of(name)
    if kind == "zip":
        return "zip_nested"
    if kind not in ("picture", "caption"):
        return kind
    if entry.file_size > max(_SMALL, MAX_RATIO * entry.compress_size):
        return "zip_ratio"
    return ""


def _concept(folder: str) -> str:
    """The outermost folder named like ``10_character``; "" where there is none, or none that can be used."""
    for part in folder.split("/"):
        if is_numbered(part):
            try:
                repeats_of(part)
            except ValueError:
                return ""
            return part
    return ""
