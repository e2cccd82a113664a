"""Whether a process is still at work."""

import psutil

# Clock corrections move the start time that the system reports by less than this; a process id is not
# used again so soon.
_START_TOLERANCE_S = 2.0


def is_alive(pid: object, start_time: object) -> bool:
    """The process id alone does not do: after a restart another program may have it."""
    # A zombie has ended; only its parent has not looked yet.
    return _status(pid, start_time) not in (None, psutil.STATUS_ZOMBIE)


def is_halted(pid: object, start_time: object) -> bool:
    """It is there, but the system gives it no time until somebody lets it go on (Ctrl+Z, SIGSTOP, a debugger)."""
    return _status(pid, start_time) in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


def _status(pid: object, start_time: object) -> str | None:
    """What the system says of this very process, None if it is gone."""
    if not isinstance(pid, int) or not isinstance(start_time, int | float) or pid <= 0:
        return None
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - start_time) < _START_TOLERANCE_S
        return str(process.status()) if same else None
    except psutil.Error:
        return None
