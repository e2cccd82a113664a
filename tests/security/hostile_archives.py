"""Zips that somebody made to hurt, written byte by byte where `zipfile` would not write them."""

import io
import random
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from PIL import Image


@cache
def picture(shade: int) -> bytes:
    """A tiny picture; another shade (0 to 255), other bytes."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(data, "PNG")
    return data.getvalue()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One entry as the zip states it; what is None is stated as it is.

    flags: 0x1 encrypted, 0x800 the name is UTF-8. mode: file type and rights of Unix, 0 for none. extra: of the list.
    """

    name: bytes
    data: bytes
    flags: int = 0x800
    method: int = 0
    mode: int = stat.S_IFREG | 0o644
    size: int | None = None
    extra: bytes = b""


def archive(entries: Iterable[Entry], *, before: bytes = b"", comment: bytes = b"") -> bytes:
    """A zip of exactly these entries, whatever they are; ``before``: what a self-extracting one begins with."""
    files, listed, count = bytearray(before), bytearray(), 0
    for entry in entries:
        size = len(entry.data) if entry.size is None else entry.size
        shared = struct.pack(
            "<HHHHHIII", 20, entry.flags, entry.method, 0, 33, zlib.crc32(entry.data), len(entry.data), size
        )
        local = struct.pack("<HH", len(entry.name), 0) + entry.name
        rest = struct.pack("<HHHHHII", len(entry.name), len(entry.extra), 0, 0, 0, entry.mode << 16, len(files))
        listed += b"PK\x01\x02" + struct.pack("<H", 3 << 8 | 20) + shared + rest + entry.name + entry.extra
        files += b"PK\x03\x04" + shared + local + entry.data
        count += 1
    place = len(files)
    number = min(count, 0xFFFF)
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, number, number, len(listed), place, len(comment)) + comment
    return bytes(files + listed) + end


def named(name: str | bytes, shade: int = 1, **changed: object) -> bytes:
    """A zip with one picture of that name, and a good one beside it."""
    raw = name.encode() if isinstance(name, str) else name
    hostile = Entry(name=raw, data=picture(shade), **changed)  # type: ignore[arg-type]
    return archive([hostile, Entry(name=b"good.png", data=picture(200))])


def refused_entries() -> Iterator[tuple[str, str, bytes]]:
    """(what it is, reason, zip): one entry is refused, the good one is taken."""
    for name in (
        "../up.png", "a/../../up.png", "..\\up.png", "/root.png", "\\rooted.png", "//server/share/a.png",
        "\\\\server\\share\\a.png", "C:\\win.png", "C:drive.png", "a\\..\\..\\up.png", "a/b.png:stream.png",
    ):  # fmt: skip
        yield name, "zip_path", named(name)
    # zipfile itself cuts a name at its NUL; the name as written is what counts.
    yield "a name with NUL", "zip_path", named(b"evil.png\0.png")
    for kind in (stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK):
        yield f"type {kind:o}", "zip_link", named("odd.png", mode=kind | 0o777)
    yield "encrypted", "zip_encrypted", named("a.png", flags=0x801)
    yield "encrypted by AES", "zip_encrypted", named("a.png", flags=0x801, method=99)
    yield "a way of packing nobody has", "zip_broken", named("a.png", method=97)
    yield "larger than it says", "zip_broken", named("a.png", size=10)
    for name, reason in {"in.zip": "zip_nested", "x.html": "kind", "x.svg": "format", "x.exe": "kind"}.items():
        yield name, reason, named(name)


def taken_names() -> Iterator[tuple[str, str, bytes]]:
    """(what it is, the name it gets, zip): names that are odd and no danger."""
    yield "CP437", "café.png", named("café.png".encode("cp437"), flags=0)
    yield "Shift-JIS", "ねこ ソ.png", named("ねこ ソ.png".encode("cp932"), flags=0)
    yield "UTF-8 without its flag", "猫.png", named("猫.png".encode(), flags=0)
    yield "UTF-8", "猫.png", named("猫.png")
    for device in ("CON", "nul", "COM1", "lpt9", "aux"):
        yield device, f"_{device}.png", named(f"{device}.png")
    yield "a device with more behind it", "_con.backup.png", named("con.backup.png")
    yield "dots and spaces at the end", "dots.png", named("dots. . .png")
    yield "script", "_script_alert(1)__script_.png", named("<script>alert(1)<|script>.png")
    yield "a line break", "a_b.png", named("a\nb.png")
    yield "much too long", "x" * 180 + ".png", named("x" * 5000 + ".png")
    yield "like an option", "-rf --help.png", named("-rf --help.png")
    yield "another name in its extra field", "a.png", named("a.png", extra=renamed(b"a.png", b"../evil.png"))


def renamed(name: bytes, other: bytes) -> bytes:
    """Info-ZIP's field with a UTF-8 name that stands in for the one in the list."""
    content = struct.pack("<BI", 1, zlib.crc32(name)) + other
    return struct.pack("<HH", 0x7075, len(content)) + content


def bomb(megabytes: int) -> bytes:
    """One picture's name, so many megabytes of zeros."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.png", bytes(megabytes << 20))
    return data.getvalue()


def overlapping(count: int) -> bytes:
    """Every entry is the same bytes: a bomb without a single high ratio."""
    data = bytearray(archive([Entry(name=b"%06d.png" % at, data=picture(1)) for at in range(count)]))
    place = 0
    while (place := data.find(b"PK\x01\x02", place)) >= 0:
        struct.pack_into("<I", data, place + 42, 0)
        place += 4
    return bytes(data)


def empty_entries(count: int) -> bytes:
    return archive(Entry(name=b"%d.png" % at, data=b"") for at in range(count))


def fuzzed(seed: int, count: int) -> Iterator[bytes]:
    """A sound zip with bytes changed, lost or doubled."""
    rng = random.Random(seed)
    entries = [Entry(name=b"%d.png" % at, data=picture(at), extra=renamed(b"x", b"y")) for at in range(4)]
    sound = archive([*entries, Entry(name=b"0.txt", data=b"a caption")], comment=b"no comment")
    for _ in range(count):
        data = bytearray(sound)
        for _ in range(rng.choice((1, 2, 4, 8))):
            # The list at the end decides more than the pictures do.
            place = rng.randrange(len(data)) if rng.random() < 0.3 else len(data) - 1 - rng.randrange(480)
            how = rng.randrange(4)
            if how == 0:
                data[place] = rng.randrange(256)
            elif how == 1:
                del data[place : place + rng.choice((1, 4, 40))]
            elif how == 2:
                data[place:place] = data[place : place + rng.choice((1, 4, 40))]
            else:
                data[place : place + 4] = rng.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f"))
        yield bytes(data)
