"""SIGINT and SIGTERM as something to note, instead of the end of the process."""

import signal
from types import FrameType, TracebackType
from typing import Self


class StopSignals:
    """While it is entered (in the main thread) both signals go to `on_signal`; on leaving, to whom they went before."""

    def __init__(self) -> None:
        self._handlers: dict[int, signal._HANDLER] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._handlers[number] = signal.signal(number, self.on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """Does nothing: the signals are only kept from ending the process."""
