"""How every path argument of the command line is read."""

from pathlib import Path


def user_path(text: str) -> Path:
    """A path as it was typed, with ~ for the home folder: a shell leaves it alone between quotes and behind "="."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        # ~name of somebody who is not known here is a plain name.
        return Path(text)
