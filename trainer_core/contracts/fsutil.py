"""File writing that survives a crash: a reader sees the old file or the new one, never half of one."""

import errno
import hashlib
import json
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import psutil

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.tmp", re.DOTALL)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")
_RETRY_DELAYS_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)


def write_text_atomic(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8, ``\\n`` kept as it is), flushed to disk before it becomes visible.

    The folder must exist. On failure the old file stays and the temporary one is removed.

    Raises:
        OSError: the disk refused (full, read-only, missing folder).
    """
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(text)


def write_json_atomic(path: Path, obj: object) -> None:
    """Like `write_text_atomic`, with ``obj`` as indented JSON. NaN and infinity are refused (ValueError)."""
    write_text_atomic(path, json_text(obj, indent=2) + "\n")


def json_text(obj: object, *, indent: int | None = None) -> str:
    """JSON with non-ASCII characters as they are. NaN and infinity are refused (ValueError).

    Undecodable file names hold lone surrogates, which UTF-8 cannot write: they become JSON escapes.
    """
    text = json.dumps(obj, ensure_ascii=False, indent=indent, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_json_object(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is none that can be read."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def version_of(path: Path) -> str:
    """Changes with a file that is written or replaced, and with a folder where a name comes or goes; "" where there is
    nothing.
    """
    try:
        state = path.stat()
    except OSError:
        return ""
    return f"{state.st_size}.{state.st_mtime_ns}"


def tail(path: Path, size: int) -> bytes:
    """The last ``size`` bytes of a log at most, without the line that they cut. Raises OSError."""
    with open(path, "rb") as file:
        start = max(0, file.seek(0, os.SEEK_END) - size)
        file.seek(start)
        data = file.read()
    return b"".join(data.splitlines(keepends=True)[1:]) if start else data


@contextmanager
def whole_file(path: Path, *, beside: Path | None = None, flush: bool = True) -> Iterator[Path]:
    """Yields the file to write and close; at the end it replaces ``path``. After an error the old file stays.

    Args:
        beside: what the temporary file lies beside, on the same disk, instead of ``path``.
        flush: wait until bytes and name are on the disk.

    Raises:
        OSError: the disk refused.
    """
    temporary = temporary_beside(beside or path)
    try:
        yield temporary
        if flush:
            fsync_file(temporary)
        replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    if flush:
        fsync_dir(path.parent)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yields where to make a folder, which at the end becomes ``path``; after an error nothing of it stays.

    Nothing may be at ``path`` then but an empty folder. Files must be flushed by whoever writes them.

    Raises:
        OSError: the disk refused.
    """
    temporary = temporary_beside(path)
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        yield temporary
        install_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def install_folder(made: Path, path: Path) -> None:
    """Give a finished folder its name; an empty folder of that name gives way. Raises OSError."""
    if path.exists():
        path.rmdir()
    replace(made, path)
    fsync_dir(path.parent)


def discard_folder(path: Path) -> None:
    """Remove a folder: renamed first, so that an interrupted removal leaves a leftover and no half one."""
    aside = temporary_beside(path.with_name(f"{path.name}-old"))
    shutil.rmtree(aside, ignore_errors=True)
    replace(path, aside)
    shutil.rmtree(aside, ignore_errors=True)


def replace(src: Path, dst: Path) -> None:
    """`os.replace`, tried again for about two seconds on Windows while another program has ``dst`` open.

    Raises:
        OSError: it still failed, or failed for another reason.
    """
    retry_when_shared(lambda: os.replace(src, dst))


def retry_when_shared(action: Callable[[], None], delays_s: tuple[float, ...] = _RETRY_DELAYS_S) -> None:
    """Run ``action``; after a PermissionError wait and try again, once per delay (seconds), then let it out.

    Windows refuses to replace or delete a file that a virus scanner or a reader holds open for a moment.
    """
    for delay_s in delays_s:
        try:
            action()
            return
        except PermissionError:
            time.sleep(delay_s)
    action()


def lock_now(file: IO[bytes]) -> bool:
    """Take the open file's lock without waiting, until it is closed; False if another holds it.

    The system frees it when the process dies.
    """
    try:
        if sys.platform == "win32":
            # Locks the byte at the position, the same for all.
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            # flock and not lockf: the latter lets the same process lock twice.
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def is_disk_full(error: BaseException) -> bool:
    """True for an OSError that says so, and for what a library written in Rust makes of one (safetensors)."""
    if isinstance(error, OSError):
        return error.errno in _FULL
    told = _SYSTEM_ERROR.search(str(error))
    return told is not None and int(told[1]) in _FULL


def temporary_beside(path: Path) -> Path:
    """Where to write what shall become ``path``: hidden, and found by `remove_leftovers`."""
    # The process id keeps two writers from sharing one temporary file.
    return path.with_name(f".{path.name}.{os.getpid()}.tmp")


def remove_leftovers(folder: Path, name: str = "", *, older_than_s: float = 0.0, also_own: bool = False) -> None:
    """Delete what processes that are gone began in ``folder`` under a `temporary_beside`.

    A process that is killed cannot tidy up, and a half-written model is large. Nothing happens without the folder.

    Args:
        name: only what was to become this one; "" = any.
        older_than_s: seconds, for a folder that other machines use too, whose processes are not seen here.
        also_own: this process has begun nothing there: what bears its number is of an earlier one. In a container
            every start may have the same number.
    """
    latest = time.time() - older_than_s
    try:
        found = [(entry, _TEMPORARY.fullmatch(entry.name)) for entry in os.scandir(folder)]
    except OSError:
        return
    for entry, match in found:
        if match is None or name not in ("", match["name"]):
            continue
        pid = int(match["pid"])
        if psutil.pid_exists(pid) and not (also_own and pid == os.getpid()):
            continue
        try:
            if entry.stat(follow_symlinks=False).st_mtime > latest:
                continue
        except FileNotFoundError:
            # Another machine has just given it its name.
            continue
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path, ignore_errors=True)
        else:
            Path(entry.path).unlink(missing_ok=True)


def fsync_file(path: Path) -> None:
    """Force the bytes of ``path`` to disk."""
    # Windows needs a writable descriptor for this.
    descriptor = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fsync_dir(path: Path) -> None:
    """Force a folder's list of names to disk, so that a rename survives a power cut. No-op on Windows."""
    if os.name != "nt":
        fsync_file(path)


def sha256_file(path: Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
