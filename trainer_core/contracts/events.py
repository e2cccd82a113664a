"""events.jsonl: what a run tells, one JSON object a line, append-only.

One process writes (the run's lock sees to that), any number read at the same time. A crash can tear only the
last line; readers take complete lines only, the next writer mends the end.
"""

import errno
import json
import math
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from trainer_core.contracts.fsutil import json_text, write_text_atomic

EVENT_KINDS = (
    "started",
    "phase",
    "memory",
    "step",
    "validation",
    "sample",
    "checkpoint",
    "export",
    "warning",
    "advice",
    "finished",
    "stopped",
    "failed",
)
# What a resumed run does again; these lines go when it goes back to an earlier step.
_REPEATED_KINDS = frozenset({"step", "validation", "sample", "checkpoint", "export", "advice"})
_BLOCK = 64 * 1024


class EventLog:
    """Appends events to ``path``. No handle stays open: `truncate_after_step` may replace the file in between.

    On construction a torn last line is mended: ended if it is whole but for its line break, else cut off. Not so
    with ``mend`` false, for a process that adds its last words to a log that another one writes.
    """

    def __init__(self, path: Path, *, mend: bool = True) -> None:
        self._path = path
        if mend and path.exists():
            _mend_end(path)

    def emit(self, kind: str, **fields: object) -> None:
        """Append one event with its ``time`` (Unix, seconds). Floats that are not finite are written as null.

        Raises:
            OSError: the line could not be written whole; nothing of it stays.
            TypeError: a field has a type that JSON does not know (paths are written as text).
        """
        assert kind in EVENT_KINDS, kind
        assert not fields.keys() & {"event", "time"}, fields
        line = json_text({"event": kind, "time": round(time.time(), 3), **_writable(fields)}) + "\n"
        data = line.encode()
        with open(self._path, "ab", buffering=0) as file:
            start = file.seek(0, os.SEEK_END)
            if file.write(data) != len(data):
                # A disk running full takes part of the line; the next event must not continue it.
                file.truncate(start)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events in complete lines. A missing file has none; lines that are no JSON object are skipped."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    events = (parsed(line) for line in data[: data.rfind(b"\n") + 1].splitlines())
    return [event for event in events if event is not None]


def failure_since(path: Path, since: float) -> dict[str, Any] | None:
    """The "failed" event of a run that stands: the last one at or after ``since`` (Unix, seconds).

    None where there is none, or where the run went on after it with settings that need less memory.
    """
    found = None
    for event in read_events(path):
        if event.get("time", 0.0) < since:
            continue
        if event.get("event") == "failed":
            found = event
        elif event.get("event") == "warning" and "settings" in event:
            found = None
    return found


def truncate_after_step(path: Path, step: int) -> None:
    """Drop events of steps beyond ``step`` that a resumed run tells again, so that no ghosts are left.

    Where a run begins anew, -1 drops those of the time before the first step as well. The file is replaced
    atomically, and only if there is something to drop.
    """
    if not path.exists():
        return
    lines = path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if not _is_beyond(line, step)]
    if len(kept) < len(lines):
        write_text_atomic(path, b"".join(kept).decode("utf-8", "replace"))


def _is_beyond(line: bytes, step: int) -> bool:
    event = parsed(line)
    if event is None or event.get("event") not in _REPEATED_KINDS:
        return False
    at = event.get("step")
    return isinstance(at, int) and at > step


def parsed(line: bytes) -> dict[str, Any] | None:
    """The event of a line; None for one that is cut or damaged."""
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _mend_end(path: Path) -> None:
    with open(path, "r+b") as file:
        end = file.seek(0, os.SEEK_END)
        start = _last_line_start(file, end)
        file.seek(start)
        tail = file.read()
        if parsed(tail) is not None:
            file.write(b"\n")
        elif tail:
            file.truncate(start)


def _last_line_start(file: BinaryIO, end: int) -> int:
    """Position after the last line break before ``end``; 0 without one. Read backwards: logs grow long."""
    while end > 0:
        begin = max(0, end - _BLOCK)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def _writable(value: object) -> Any:
    """``value`` for JSON: paths as text, and null for floats that are not finite, which no browser would parse."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _writable(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(entry) for entry in value]
    return value
