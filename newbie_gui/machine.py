"""What hardware is here, asked at most every two seconds however many pages are open."""

import time
from collections.abc import Callable
from pathlib import Path

from trainer_core.planning.hardware import Machine, detect

_FRESH_S = 2.0


class MachineWatch:
    """Caches `detect`: asking the driver costs milliseconds, and every page asks."""

    def __init__(self, disk_path: Path, ask: Callable[[Path], Machine] = detect) -> None:
        self._disk_path = disk_path
        self._ask = ask
        self._seen: tuple[float, Machine] | None = None

    def now(self) -> Machine:
        """The machine as it was at most two seconds ago."""
        seen = self._seen
        if seen is None or time.monotonic() - seen[0] > _FRESH_S:
            seen = self._seen = (time.monotonic(), self._ask(self._disk_path))
        return seen[1]
