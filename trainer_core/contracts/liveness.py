"""Whether a process is still at work."""

import psutil

# Clock corrections move the start time that the system reports by less than this; a process id is not
# used again so soon.
_START_TOLERANCE_S = 2.0


def is_alive(pid: object, start_time: object) -> bool:
    """The process id alone does not do: after a restart another program may have it."""
    if not isinstance(pid, int) or not isinstance(start_time, int | float) or pid <= 0:
        return False
    try:
        process = psutil.Process(pid)
        same = abs(process.create_time() - start_time) < _START_TOLERANCE_S
        # A zombie has ended; only its parent has not looked yet.
        return bool(same and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False
