"""Counts wrong tokens by address, in bounded memory."""

import hashlib
import ipaddress
from collections import deque
from collections.abc import Callable

from newbie_gui.newest import Newest

LIMIT = 10
WINDOW_S = 60.0
MOST_ADDRESSES = 1024


class WrongTokens:
    """``LIMIT`` wrong tokens within ``WINDOW_S`` seconds close an address until the oldest of them is that old.

    Remembers the ``MOST_ADDRESSES`` addresses that failed last, up to ``LIMIT`` failures each.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failures: Newest[str, deque[tuple[float, bytes]]] = Newest(MOST_ADDRESSES)

    def wait_s(self, address: str) -> float:
        """Return for how many seconds the address stays closed; 0 where it is open."""
        failures = self._recent(_network(address))
        return max(0.0, failures[0][0] + WINDOW_S - self._clock()) if len(failures) >= LIMIT else 0.0

    def note(self, address: str, repeated: str | None) -> None:
        """Count a failure. ``repeated``: a value that counts once however often it comes; None counts each time."""
        key = _network(address)
        failures = self._recent(key)
        digest = b"" if repeated is None else hashlib.sha256(repeated.encode("utf-8", "replace")).digest()
        if digest and any(digest == seen for _, seen in failures):
            return
        failures.append((self._clock(), digest))
        self._failures[key] = failures

    def _recent(self, key: str) -> deque[tuple[float, bytes]]:
        failures = self._failures.get(key, deque[tuple[float, bytes]](maxlen=LIMIT))
        while failures and failures[0][0] <= self._clock() - WINDOW_S:
            failures.popleft()
        return failures


def _network(address: str) -> str:
    """The address itself; for IPv6 its /64, which one machine has to itself."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, 64), strict=False))
