"""The end of a log file, and a search through all of it."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.fsutil import tail

_TAIL_BYTES = 64 * 1024
_LONGEST_LINE = 2000


@dataclass(frozen=True, kw_only=True)
class LogText:
    """``lines`` oldest first; ``matches`` is how many lines match in the whole file, 0 without a search."""

    lines: tuple[str, ...]
    matches: int = 0


def read_log(file: Path, *, search: str = "", most: int = 200) -> LogText:
    """The last ``most`` lines, or the last of those that hold ``search`` (case ignored). A missing file is empty."""
    try:
        if not search:
            lines = tail(file, _TAIL_BYTES).decode("utf-8", "replace").splitlines()
            return LogText(lines=tuple(line[:_LONGEST_LINE] for line in lines[-most:]))
        with open(file, "rb") as log:
            return _searched(log, search.lower(), most)
    except FileNotFoundError:
        return LogText(lines=())


def _searched(log: Iterable[bytes], wanted: str, most: int) -> LogText:
    matches, kept = 0, deque[str](maxlen=most)
    for raw in log:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if wanted in line.lower():
            matches += 1
            kept.append(line[:_LONGEST_LINE])
    return LogText(lines=tuple(kept), matches=matches)
