"""How every path and file name is read that a person types: as an argument, in a field of a page, in a job's spec."""

import os
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.options import OptionSpec, checked

_NAME = OptionSpec(name="name", type="str", required=False, help="", rule="name")


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


def checked_name(name: str) -> str:
    """A name that is one safe file or folder on every system. Raises UserError `name_invalid`."""
    if not name.strip():
        raise UserError("name_invalid", "There is no name.", ["Type a name."])
    try:
        return str(checked(_NAME, name.strip()))
    except ValueError as error:
        raise UserError("name_invalid", f"The name {name!r} {str(error).rstrip('.')}.") from error
