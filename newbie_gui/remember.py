"""Small choices that outlive a page and a restart: the last data set, the last config, whether the guide is hidden."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer_core.contracts.fsutil import read_json_object, write_json_atomic

# Name of a choice: the key of the run that was shown last.
SHOWN_RUN = "train.run"


class Remembered:
    """One small JSON file. An unreadable one counts as empty: nothing in it is worth an error.

    Safe for several threads: each click has its own.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock = threading.Lock()

    def get(self, name: str, default: Any = None) -> Any:
        """The remembered value, any JSON."""
        return read_json_object(self._file).get(name, default)

    def set(self, name: str, value: Any) -> None:
        """Remember ``value`` (any JSON). Raises OSError where the disk refuses."""
        with self._lock:
            self._put(read_json_object(self._file), name, value)

    def amend(self, name: str, parts: Mapping[str, Any]) -> None:
        """Put ``parts`` into the remembered object of this name; its others stay. Raises OSError as `set`."""
        with self._lock:
            values = read_json_object(self._file)
            known = values.get(name)
            self._put(values, name, {**(known if isinstance(known, dict) else {}), **parts})

    def _put(self, values: Mapping[str, Any], name: str, value: Any) -> None:
        if values.get(name) != value or name not in values:
            write_json_atomic(self._file, {**values, name: value})
