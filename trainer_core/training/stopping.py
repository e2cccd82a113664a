"""How a run is asked to stop: a request file, SIGINT, SIGTERM or SIGHUP. Each ends it at the next step border."""

from types import FrameType

from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.stop_signals import StopSignals


class StopRequested(Exception):
    """Raised between two pieces of work when the run was asked to stop before its first step."""


class StopSignal(StopSignals):
    """Collects requests while it is entered; restores the signal handlers on leaving.

    Of several processes one takes the request files (`main`); the others see the stop that it took.
    """

    def __init__(self, run: RunDir, *, main: bool = True) -> None:
        super().__init__()
        self._run = run
        self._main = main
        self._stop = False
        self._pending: set[str] = set()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop = True

    def requests(self) -> set[str]:
        """New requests (stop, save, sample) since the last call; a stop stays."""
        self._look()
        taken, self._pending = self._pending - {"stop"}, set()
        return taken | ({"stop"} if self._stop else set())

    def wanted(self) -> bool:
        """True once a stop was asked for; save and sample requests stay for the next step border."""
        self._look()
        return self._stop

    def _look(self) -> None:
        if self._main:
            self._pending |= self._run.take_requests()
            self._stop |= "stop" in self._pending
        else:
            self._stop |= self._run.stop_announced()

    def check(self) -> None:
        """Raises StopRequested once a stop was asked for."""
        if self.wanted():
            raise StopRequested
