"""What takes time to find out, asked at most every so often however many pages want it."""

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

V = TypeVar("V")


class Fresh(Generic[V]):
    """Asks anew for what is older than ``seconds``. For any thread.

    `ask` runs in the thread of who wants the answer; others wait for it. What it raises comes out, and nothing is kept.
    """

    def __init__(self, ask: Callable[[], V], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = threading.Lock()
        self._seen: tuple[float, V] | None = None

    def now(self, *, anew: bool = False) -> V:
        with self._lock:
            if anew or self._seen is None or time.monotonic() - self._seen[0] >= self._seconds:
                found = self._ask()
                self._seen = (time.monotonic(), found)
            return self._seen[1]

    def forget(self) -> None:
        """Ask anew the next time."""
        with self._lock:
            self._seen = None
