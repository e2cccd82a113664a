"""How every path is read that a person types: as an argument, in a field of a page, in a job's spec."""

import os
from pathlib import Path

from trainer_core.contracts.errors import UserError


def user_path(text: str) -> Path:
    """A path as it was typed, with ~ for the home folder: a shell leaves it alone between quotes and behind "=".

    Raises:
        UserError: ``home_unknown``, there is no such user, or this user has no home folder.
    """
    path = os.path.expanduser(text)
    if path.startswith("~"):
        name = Path(path).parts[0]
        raise UserError(
            "home_unknown", f"{text}: no home folder is known for {name}.", ["Write the path from the drive or / on."]
        )
    return Path(path)
