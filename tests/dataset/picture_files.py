"""Small picture files for the tests of this folder, some of them hostile."""

import struct
import zlib
from pathlib import Path

from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(
    width: int, height: int, *, colour: int, depth: int, pixel: bytes, extra: bytes = b"", tail: bytes = b""
) -> bytes:
    """A PNG of one repeated pixel; `extra` chunks go before the pixels, `tail` after them. colour: 0 grey, 2 RGB."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    rows = (b"\0" + pixel * width) * height
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + tail
    return PNG_SIGNATURE + body + chunk(b"IEND", b"")


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises width x height pixels, and next to no data behind it."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def turned_exif(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def put(path: Path, caption: str | None = None, size: tuple[int, int] = (8, 8)) -> Path:
    """Save a small grey picture, with its caption beside it; folders are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, "grey").save(path, "PNG")
    if caption is not None:
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    return path
