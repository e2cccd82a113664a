"""The signals that ask for a stop as something to note, instead of the end of the process."""

import signal
import sys
from types import FrameType, TracebackType
from typing import Self


class StopSignals:
    """While it is entered (in the main thread) SIGINT, SIGTERM and SIGHUP, of a terminal that is closed, go to
    `on_signal`; on leaving, to whom they went before. An ignored SIGHUP, as below nohup, stays ignored."""

    def __init__(self) -> None:
        self._handlers: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for number in _numbers():
            self._handlers[number] = signal.signal(number, self.on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Does nothing: the signals are only kept from ending the process."""


def _numbers() -> list[signal.Signals]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    # Windows has no such signal.
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    return numbers
