"""File names as they arrive, made into names that are safe and readable on every system."""

import re
import unicodedata
from collections.abc import Iterator, Sequence

from trainer_core.contracts.options import RESERVED_ON_WINDOWS

MAX_NAME_BYTES = 180

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f/\\:*?"<>|\ud800-\udfff]')
_JUNK = frozenset({"thumbs.db", "desktop.ini", ".ds_store"})
_HALF_WIDTH = re.compile(r"[\uff61-\uff9f]")
_KANA = re.compile(r"[\u3040-\u30ff]")


def is_junk(path: str) -> bool:
    """Files that systems leave everywhere; nobody wants to be told of them."""
    parts = path.split("/")
    return parts[-1].casefold() in _JUNK or parts[-1].startswith("._") or "__MACOSX" in parts


def safe_name(name: str) -> str:
    """One file name (with suffix) in the common Unicode form, without characters that some system refuses."""
    name = _UNSAFE.sub("_", unicodedata.normalize("NFC", name)).strip().lstrip(".").rstrip(". ")
    stem, dot, suffix = name.rpartition(".")
    if not dot:
        stem, suffix = name, ""
    stem = _cut(stem.rstrip(". "), MAX_NAME_BYTES) or "image"
    if RESERVED_ON_WINDOWS.fullmatch(stem):
        stem = f"_{stem}"
    return f"{stem}{dot}{suffix}"


def free_stem(stem: str, taken: set[str]) -> str:
    """``stem``, or ``stem-2`` and on, whichever no name of ``taken`` (as `folded`) equals."""
    return next(name for name in _numbered(stem) if folded(name) not in taken)


def folded(stem: str) -> str:
    """Equal for names that some file system takes for one."""
    return unicodedata.normalize("NFC", stem).casefold()


def decoded_zip_names(names: Sequence[bytes]) -> list[str]:
    """Names of a zip whose writer did not say their encoding: UTF-8, Shift-JIS, GBK or the old DOS one.

    One archive was written by one program: the first encoding that fits all names is taken for all.
    """
    for encoding in ("utf-8", "cp932", "gb18030"):
        try:
            found = [name.decode(encoding) for name in names]
        except UnicodeDecodeError:
            continue
        if encoding != "cp932" or is_japanese("".join(found)):
            return found
    return [name.decode("cp437") for name in names]


def is_japanese(text: str) -> bool:
    """Of a text read as Shift-JIS: Chinese and Western bytes give half-width katakana, or no kana at all."""
    return text.isascii() or (_KANA.search(text) is not None and _HALF_WIDTH.search(text) is None)


def _numbered(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode(errors="ignore")
