"""The trash: nothing that a person deletes is gone before the trash is emptied."""

import os
import shutil
import time
from itertools import count
from pathlib import Path

# A file name has room for 255; time and number stand around the title.
_TITLE_BYTES = 200


def to_trash(trash: Path, path: Path, title: str = "") -> Path:
    """Move a file or folder to ``trash`` under the time and ``title`` (default: its name); returns where it is now.

    Raises:
        OSError: the disk refused; what was not moved is where it was.
    """
    place = place_in(trash, title or path.name)
    # Not os.rename: the two may lie on different disks.
    shutil.move(path, place)
    return place


def place_in(trash: Path, title: str) -> Path:
    """A path in ``trash``, which is made if needed, that nothing has yet: 20261125-190000-TITLE, then -2, -3, ...

    A long title loses its middle.
    """
    trash.mkdir(parents=True, exist_ok=True)
    start = f"{time.strftime('%Y%m%d-%H%M%S')}-{_short(title)}"
    names = (start if number == 1 else f"{start}-{number}" for number in count(1))
    return next(trash / name for name in names if not (trash / name).exists())


def _short(title: str) -> str:
    data, half = os.fsencode(title), _TITLE_BYTES // 2
    if len(data) <= _TITLE_BYTES:
        return title
    return f"{data[:half].decode(errors='ignore')}…{data[-half:].decode(errors='ignore')}"
