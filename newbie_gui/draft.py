"""What is in the form, kept on disk while it is typed: a reload, a restart and the other language find it again."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer_core.contracts.config import options
from trainer_core.contracts.fsutil import read_json_object, write_json_atomic


class Draft:
    """One JSON file with the controls' values by name, also while they are not valid. The newest `amend` wins.

    One a process, for the pages of both languages: what is not on disk yet is known to the object alone. Writing
    happens in a thread of its own, because a disk may take long to confirm it and a page must not wait.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        self._newest: dict[str, Any] | None = None
        self._busy = False

    def amend(self, values: Mapping[str, Any]) -> None:
        """Put these values in place of those kept last, and write soon; the others stay."""
        with self._lock:
            self._write({**self._read(), **values})

    def read(self) -> dict[str, Any]:
        """The values kept last, known names only; empty where there are none or the file is damaged."""
        with self._lock:
            return self._read()

    def _write(self, form: Mapping[str, Any]) -> None:
        self._newest = dict(form)
        if not self._busy:
            self._busy = True
            threading.Thread(target=self._work, daemon=True).start()

    def _read(self) -> dict[str, Any]:
        if self._newest is not None:
            return dict(self._newest)
        names = {spec.name for spec in options()}
        return {name: value for name, value in read_json_object(self.file).items() if name in names}

    def _work(self) -> None:
        while True:
            with self._lock:
                values = self._newest
            try:
                write_json_atomic(self.file, values)
                kept = None
            except OSError:
                # Every further change tries again, with these values in it: a page sends only what changed.
                kept = values
            with self._lock:
                if values is self._newest:
                    self._newest, self._busy = kept, False
                    return
