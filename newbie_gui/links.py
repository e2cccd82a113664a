"""URLs of what `files` serves. Absolute paths: the pages that use them are mounted below /en and /zh."""

from pathlib import PurePath
from urllib.parse import quote


def file_url(root: str, relative: str | PurePath) -> str:
    """Return the URL of a file: ``relative`` to the folder of ``root`` (see `files.Roots`), "/" between its parts."""
    return f"/files/{_quoted(root)}/{_quoted(relative)}"


def zip_url(root: str, relative: str | PurePath = "") -> str:
    """Return the URL of a folder as a zip; "" is the root's own folder."""
    return f"/zip/{_quoted(root)}/{_quoted(relative)}"


def _quoted(text: str | PurePath) -> str:
    path = text.as_posix() if isinstance(text, PurePath) else text
    # A name that is no valid Unicode has no URL: it leads to "not found" instead of breaking the page.
    return quote(path, errors="replace")
