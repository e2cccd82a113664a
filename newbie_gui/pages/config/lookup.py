"""Answers that take disk time, found in a thread of their own: a page asks, gets what is known, and asks again."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from newbie_gui.newest import Newest
from trainer_core.contracts.errors import UserError

V = TypeVar("V")
# A page asks about once a second, and what is quickly found anew is there by then.
_PATIENCE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Answer(Generic[V]):
    """`pending`: nothing is known yet, ask again. Else the value, or why there is none."""

    value: V | None = None
    problem: UserError | OSError | None = None
    pending: bool = False


class Lookup(Generic[V]):
    """Caches what is found, by key. `get` never waits.

    Args:
        fresh_s: an answer older than this is given once more while it is found anew; a problem, which may have passed,
            only for two seconds more.
        kept: so many answers, the last used ones.
    """

    def __init__(self, *, fresh_s: float, kept: int = 8) -> None:
        self._fresh_s = fresh_s
        self._lock = threading.Lock()
        self._known: Newest[Hashable, tuple[float, Answer[V]]] = Newest(kept)
        # Only the newest wish counts: whoever types "1024" does not wait for "102".
        self._wanted: tuple[Hashable, Callable[[], V]] | None = None
        self._finding: Hashable = None
        self._busy = False

    def get(self, key: Hashable, find: Callable[[], V]) -> Answer[V]:
        """What is known now; finding it, or finding it anew, begins where needed.

        ``find`` runs in a thread of its own, one at a time; UserError and OSError are answers too.
        """
        with self._lock:
            known = self._known.get(key)
            age = 0.0
            if known is not None:
                self._known.move_to_end(key)
                age = time.monotonic() - known[0]
            if known is None or age > self._fresh_s:
                # What is being found is not found a second time, and is the newest wish now.
                self._wanted = (key, find) if key != self._finding else None
                if not self._busy:
                    self._busy = True
                    threading.Thread(target=self._work, daemon=True).start()
        if known is None or (known[1].problem is not None and age > self._fresh_s + _PATIENCE_S):
            return Answer(pending=True)
        return known[1]

    def _work(self) -> None:
        try:
            while (wish := self._next()) is not None:
                key, find = wish
                answer = _answer(find)
                with self._lock:
                    self._known[key] = (time.monotonic(), answer)
        except BaseException:
            with self._lock:
                self._busy, self._finding = False, None
            raise

    def _next(self) -> tuple[Hashable, Callable[[], V]] | None:
        """The next wish; without one the thread counts as ended, in the same breath."""
        with self._lock:
            wish, self._wanted = self._wanted, None
            self._busy, self._finding = wish is not None, wish[0] if wish else None
            return wish


def _answer(find: Callable[[], V]) -> Answer[V]:
    try:
        return Answer(value=find())
    except (UserError, OSError) as error:
        return Answer(problem=error)
