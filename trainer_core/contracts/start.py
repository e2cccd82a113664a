"""How every script of this project starts: with a Python that can run it, or with one sentence.

Python 3.8 must be able to read this file, the scripts and what they import before `start`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.util import find_spec

_OLDEST = (3, 11)
# The larger ones of requirements.txt: the Python of a system or of another program lacks at least one of them.
NEEDED = ("torch", "diffusers", "transformers")


def start(
    main: Callable[[], int], *, needs: tuple[str, ...] = NEEDED, interrupted: str = "interrupted", code: int = 130
) -> None:
    """Exit with what `main` returns; at Ctrl+C, while it still imports too, with the line `interrupted` and `code`.

    needs: packages without which nothing of this script works.
    """
    if missing := lacking(sys.version_info[:2], needs):
        sys.exit(f"error: {sys.executable} {missing}. {advice(windows=os.name == 'nt')}")
    try:
        done = main()
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        done = code
    sys.exit(done)


def lacking(version: tuple[int, ...], packages: tuple[str, ...]) -> str:
    """What keeps this Python from running the project, "" where nothing does."""
    if version < _OLDEST:
        return "is Python {}.{}, and 3.11 or newer is needed".format(*version)
    absent = [name for name in packages if find_spec(name) is None]
    return f"does not have {', '.join(absent)}" if absent else ""


def advice(*, windows: bool) -> str:
    """Which Python to use instead."""
    if windows:
        return "Run it with .venv\\Scripts\\python (made by launch.bat)."
    return "Run it with .venv/bin/python (made by ./launch.sh)."
