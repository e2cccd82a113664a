"""What a job's child process tells about itself, and how it learns that it shall stop."""

import time

from trainer_core.contracts.events import EventLog
from trainer_core.contracts.jobdir import JobDir

_TELL_EVERY_S = 0.25


class JobStopped(Exception):
    """Raised between two pieces of work after a stop was asked for."""


class JobContext:
    """Given to the function that does a job's work. Each method may be called as often as one likes."""

    def __init__(self, folder: JobDir) -> None:
        self.folder = folder
        self._events = EventLog(folder.events_file)
        self._told = ("", 0.0)
        self._stop = False

    def progress(self, phase: str, done: int, total: int) -> None:
        """Tell how far ``phase`` is, in any unit (events are thinned). Raises JobStopped once a stop was asked for."""
        self.check()
        name, at = self._told
        now = time.monotonic()
        if name != phase or done >= total or now - at >= _TELL_EVERY_S:
            self._told = (phase, now)
            self._events.emit("phase", phase=phase, done=done, total=total)

    def warn(self, message: str) -> None:
        """Something the user should know; also printed, for the log."""
        print(f"note: {message}", flush=True)
        self._events.emit("warning", message=message)

    def picture(self, file: str, **fields: object) -> None:
        """A picture was made: its name inside the folder ``samples`` of the job."""
        self._events.emit("sample", file=file, **fields)

    def check(self) -> None:
        """Raises JobStopped once a stop was asked for."""
        self._stop |= "stop" in self.folder.take_requests()
        if self._stop:
            raise JobStopped
