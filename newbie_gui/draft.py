"""What is in the form, kept on disk while it is typed: a reload, a restart and the other language find it again."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer_core.contracts.config import TrainConfig, options, parse_config
from trainer_core.contracts.errors import ConfigError
from trainer_core.contracts.fsutil import read_json_object, write_json_atomic
from trainer_core.planning.presets import PLACEHOLDERS


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

    def strange(self) -> tuple[str, ...]:
        """Names in the file that are no settings, as of another version; the next `amend` takes them out."""
        with self._lock:
            return () if self._newest is not None else tuple(sorted(read_json_object(self.file).keys() - _names()))

    def _write(self, form: Mapping[str, Any]) -> None:
        self._newest = dict(form)
        if not self._busy:
            self._busy = True
            threading.Thread(target=self._work, daemon=True).start()

    def _read(self) -> dict[str, Any]:
        if self._newest is not None:
            return dict(self._newest)
        names = _names()
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


def usable_config(values: Mapping[str, Any]) -> tuple[TrainConfig | None, tuple[str, ...]]:
    """A configuration as near to ``values`` as can be, and the names whose values were replaced by defaults.

    None where what is left contradicts itself.
    """
    names = _names()
    good = {name: value for name, value in values.items() if name in names}
    replaced: set[str] = set()
    # Replacing one value can make another one contradict it: twice is enough for all the rules there are.
    for _ in range(3):
        try:
            return parse_config(good), tuple(sorted(replaced))
        except ConfigError as error:
            for problem in error.problems:
                good.pop(problem.field, None)
                replaced.add(problem.field)
                # Much can be told before a data set is chosen.
                if problem.field in PLACEHOLDERS:
                    good[problem.field] = PLACEHOLDERS[problem.field]
    return None, tuple(sorted(replaced))


def _names() -> set[str]:
    return {spec.name for spec in options()}
