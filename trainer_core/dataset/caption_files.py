"""Caption files as a person edits them: read whatever is there, written as plain UTF-8."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import whole_file
from trainer_core.dataset.finding import stem_of
from trainer_core.dataset.import_names import is_japanese

State = Literal["ok", "empty", "missing", "encoding", "unreadable"]

MAX_CAPTION_BYTES = 1 << 20
_OTHER_ENCODINGS = ("gb18030", "cp932", "latin-1")
_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True, kw_only=True)
class CaptionText:
    """A caption as it is on disk.

    Attributes:
        text: without white space around it; of a file that is not UTF-8 the most likely reading, to be checked.
        state: "encoding" and "unreadable" ones cost a training the image.
        mark: the file begins with a byte order mark, which is not part of the text.
    """

    text: str = ""
    state: State = "missing"
    mark: bool = False


def read_caption_file(file: Path | None) -> CaptionText:
    """Never raises: what is wrong is in the state. ``None`` is a picture without a file."""
    if file is None:
        return CaptionText()
    try:
        data = _bytes_of(file)
    except (OSError, ValueError):
        return CaptionText(state="unreadable")
    return caption_of(data)


def read_caption(file: Path) -> str:
    """The text that a training reads. Raises OSError, and ValueError for anything but UTF-8 text of a sane length."""
    return _utf_8(_bytes_of(file))


def caption_of(data: bytes) -> CaptionText:
    """The caption that these bytes of a file hold."""
    try:
        text = _utf_8(data)
    except UnicodeDecodeError:
        return CaptionText(text=_guessed(data), state="encoding")
    except ValueError:
        return CaptionText(text=data.decode("utf-8-sig").replace("\0", "").strip(), state="encoding")
    return CaptionText(text=text, state="ok" if text else "empty", mark=data.startswith(_MARK))


def write_caption_file(image: Path, file: Path | None, text: str, *, flush: bool = True) -> Path:
    """Replace the caption of ``image``, kept in ``file`` (``None`` = there is none yet), atomically.

    Args:
        flush: wait for the disk. False for many files whose old texts are kept elsewhere.

    Raises:
        UserError: `caption_too_long`, `caption_not_text`.
        OSError: the disk refused; the old caption is still there.
    """
    data = checked_caption(text).encode("utf-8")
    target = file or image.with_suffix(".txt")
    with whole_file(target, flush=flush) as temporary:
        temporary.write_bytes(data)
    return target


def caption_file_of(image: Path) -> Path | None:
    """The file beside ``image`` that holds its caption, however its name is spelled."""
    plain = image.with_suffix(".txt")
    if plain.is_file():
        return plain
    stem = stem_of(image)
    beside = (Path(entry) for entry in os.scandir(image.parent))
    return next((path for path in sorted(beside) if path.suffix.lower() == ".txt" and stem_of(path) == stem), None)


def checked_caption(text: str) -> str:
    """The text as it can be kept: line breaks as ``\\n``, no white space around.

    Raises:
        UserError: `caption_too_long`, `caption_not_text`.
    """
    text = _with_plain_breaks(text).strip()
    try:
        length = len(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise UserError("caption_not_text", "The caption holds characters that are not valid Unicode.") from error
    if "\0" in text:
        raise UserError("caption_not_text", "The caption holds NUL characters, which are no text.")
    if length > MAX_CAPTION_BYTES:
        raise UserError(
            "caption_too_long", f"The caption has {length} bytes; at most {MAX_CAPTION_BYTES} are allowed. Shorten it."
        )
    return text


class CaptionTooLong(ValueError):
    """A file that is too long for a caption."""


def _bytes_of(file: Path) -> bytes:
    if file.stat().st_size > MAX_CAPTION_BYTES:
        raise CaptionTooLong(f"it is over {MAX_CAPTION_BYTES // 1024} KiB")
    return file.read_bytes()


def _utf_8(data: bytes) -> str:
    text = data.decode("utf-8-sig")
    if "\0" in text:
        # UTF-16 without its mark decodes as UTF-8, with a NUL after every Latin letter.
        raise ValueError("it holds NUL characters")
    return _with_plain_breaks(text).strip()


def _with_plain_breaks(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _guessed(data: bytes) -> str:
    # Most Shift-JIS is valid GB 18030 as well, but hardly any Chinese looks Japanese when it is read as Shift-JIS.
    japanese = _decoded(data, "cp932")
    if japanese and is_japanese(japanese):
        return japanese
    encodings = ("utf-16", *_OTHER_ENCODINGS) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else _OTHER_ENCODINGS
    found = (_decoded(data, encoding) for encoding in encodings)
    # The last one decodes everything.
    return next(text for text in found if text is not None)


def _decoded(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding).replace("\0", "").strip()
    except UnicodeDecodeError:
        return None
