"""Pictures that somebody made to hurt, and files fuzzed from sound ones. Every function gives the same bytes again."""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from colour_profiles import cmyk_profile, endless_chain, grey_profile, rgb_profile
from picture_files import PNG_SIGNATURE, bomb, chunk, png
from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "AVIF")


@dataclass(frozen=True, kw_only=True)
class Hostile:
    """One file. ``outcome``: "taken", the `ImageProblem.kind` that must refuse it, or "" where either is right."""

    name: str
    data: bytes
    outcome: str


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


@cache
def sound(form: str) -> bytes:
    """A small noisy picture; noise makes every part of the file count."""
    rng = random.Random(form)
    return encoded(Image.frombytes("RGB", (48, 36), rng.randbytes(48 * 36 * 3)), form)


@cache
def sound_files() -> tuple[bytes, ...]:
    """What fuzzing begins with: every format, and the forms of them that take other ways through the decoders."""
    base = Image.open(io.BytesIO(sound("PNG")))
    frames = [base.rotate(90 * turn) for turn in range(3)]
    animated = [encoded(frames[0], form, save_all=True, append_images=frames[1:]) for form in ("GIF", "PNG", "WEBP")]
    forms = [
        encoded(base, "JPEG", progressive=True),
        encoded(base.convert("CMYK"), "JPEG"),
        encoded(base, "WEBP", lossless=True),
        encoded(base.convert("P"), "PNG", transparency=3),
        encoded(base.convert("RGBA"), "AVIF"),
        encoded(base.convert("1"), "BMP"),
        png(20, 10, colour=0, depth=16, pixel=b"\x12\x34"),
        *profiled(),
    ]
    return (*map(sound, FORMATS), *animated, *forms)


def profiled() -> Iterator[bytes]:
    """Colour profiles of every kind, where damage reaches their insides: JPEG holds them as they are."""
    base = Image.open(io.BytesIO(sound("PNG")))
    yield encoded(base, "JPEG", icc_profile=rgb_profile("Display P3"))
    yield encoded(base.convert("L"), "JPEG", icc_profile=grey_profile(1.8))
    yield encoded(base.convert("CMYK"), "JPEG", icc_profile=cmyk_profile())


def many_passes(count: int, size: tuple[int, int] = (256, 256)) -> bytes:
    """A progressive JPEG whose shortest pass comes ``count`` times more."""
    data = encoded(Image.new("L", size, 100), "JPEG", progressive=True)
    starts = [place for place in range(len(data)) if data.startswith(b"\xff\xda", place)]
    passes = [data[a:b] for a, b in zip(starts, [*starts[1:], len(data) - 2], strict=True)]
    return data[:-2] + min(passes[1:], key=len) * count + data[-2:]


def compressed_text(megabytes: int, count: int = 1) -> bytes:
    """A small PNG with ``count`` comments, each of which unpacks to so many megabytes."""
    text = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"\0" * (megabytes << 20), 9))
    return png(4, 4, colour=2, depth=8, pixel=b"abc", extra=text * count)


def cut(share: int) -> Iterator[Hostile]:
    """Every format after ``share`` per cent of its bytes."""
    for form in FORMATS:
        data = sound(form)
        outcome = "taken" if share == 100 else "refused"
        yield Hostile(name=f"cut to {share} % of a {form}", data=data[: len(data) * share // 100], outcome=outcome)


def odd() -> Iterator[Hostile]:
    """Bombs, and sound pictures that few programs make."""
    rgb = Image.new("RGB", (40, 30), (200, 40, 90))
    frames = [rgb, rgb.rotate(90)]
    taken: dict[str, Callable[[], bytes]] = {
        "one pixel": lambda: encoded(Image.new("RGB", (1, 1)), "PNG"),
        "30,000 x 1": lambda: encoded(Image.new("RGB", (30_000, 1)), "PNG"),
        "1 x 30,000": lambda: encoded(Image.new("RGB", (1, 30_000)), "JPEG"),
        "CMYK": lambda: encoded(rgb.convert("CMYK"), "JPEG"),
        "16 bit": lambda: png(9, 9, colour=0, depth=16, pixel=b"\x80\x00"),
        "16 bit colours": lambda: png(9, 9, colour=2, depth=16, pixel=b"\x80\x00" * 3),
        "a GIF that moves": lambda: encoded(frames[0], "GIF", save_all=True, append_images=frames[1:] * 50),
        "a PNG that moves": lambda: encoded(frames[0], "PNG", save_all=True, append_images=frames[1:]),
        "a WebP that moves": lambda: encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "a colour profile of 100,000 steps": lambda: encoded(rgb, "PNG", icc_profile=endless_chain(100_000)),
        "a colour profile of 12 MB": lambda: encoded(
            rgb, "WEBP", icc_profile=rgb_profile("ProPhoto") + bytes(12 << 20)
        ),
        "a colour profile of noise": lambda: encoded(rgb, "JPEG", icc_profile=random.Random(1).randbytes(9_000)),
        "a JPEG with a film behind it": lambda: encoded(rgb, "JPEG") + b"\xff\xda" * 1000,
    }
    refused: dict[str, tuple[str, Callable[[], bytes]]] = {
        "bomb of 12,000 x 12,000": ("too_large", lambda: bomb(12_000, 12_000)),
        "bomb of 2^31 x 2^31": ("too_large", lambda: bomb(2**31 - 1, 2**31 - 1)),
        "GIF of 65,535 x 65,535": ("too_large", lambda: huge_gif()),
        "BMP of 2^31 x 2^31": ("too_large", lambda: huge_bmp()),
        "JPEG of 65,535 x 65,535": ("too_large", lambda: huge_jpeg()),
        "JPEG of 5,000 passes": ("broken", lambda: many_passes(5_000)),
        "PNG with 100 MB of comment": ("", lambda: compressed_text(100)),
        "PNG with 20 comments of 15 MB": ("broken", lambda: compressed_text(15, 20)),
        "nothing": ("format", lambda: b""),
        "a signature alone": ("", lambda: PNG_SIGNATURE),
        "a program": ("format", lambda: b"MZ" + bytes(500)),
        "a TIFF": ("format", lambda: encoded(rgb, "TIFF")),
        "an SVG": ("format", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        "a pickle": ("format", lambda: b"\x80\x04cos\nsystem\n(S'touch run'\ntR."),
    }
    for name, make in taken.items():
        yield Hostile(name=name, data=make(), outcome="taken")
    for name, (kind, make) in refused.items():
        yield Hostile(name=name, data=make(), outcome=kind)


def largest() -> Iterator[Hostile]:
    """The most pixels that are allowed, in the forms that cost most."""
    grey = encoded(Image.new("I;16", (8000, 8000), 9), "PNG", compress_level=1)
    clear = encoded(Image.new("RGBA", (8000, 8000)), "WEBP", lossless=True, method=0)
    yield Hostile(name="64 megapixels of 16 bit", data=grey, outcome="taken")
    yield Hostile(name=f"64 megapixels in {len(clear)} bytes", data=clear, outcome="taken")


def huge_gif() -> bytes:
    data = bytearray(sound("GIF"))
    struct.pack_into("<HH", data, 6, 65_535, 65_535)
    return bytes(data)


def huge_bmp() -> bytes:
    data = bytearray(sound("BMP"))
    struct.pack_into("<ii", data, 18, 2**31 - 1, 2**31 - 1)
    return bytes(data)


def huge_jpeg() -> bytes:
    data = bytearray(sound("JPEG"))
    struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, 65_535, 65_535)
    return bytes(data)


def fuzzed(seed: int, count: int) -> Iterator[bytes]:
    """Sound files with bytes changed, cut out, doubled, swapped with another file's, or made extreme numbers."""
    rng = random.Random(seed)
    for _ in range(count):
        data = bytearray(rng.choice(sound_files()))
        for _ in range(rng.choice((1, 1, 2, 4, 16))):
            _damage(data, rng)
        yield bytes(data)


def _damage(data: bytearray, rng: random.Random) -> None:
    # Headers decide more than pixels do.
    place = rng.randrange(min(len(data), rng.choice((64, 400, 1 << 30))))
    length = rng.choice((1, 2, 4, 40, 400))
    how = rng.randrange(6)
    if how == 0:
        data[place] = rng.randrange(256)
    elif how == 1:
        data[place] ^= 1 << rng.randrange(8)
    elif how == 2 and len(data) > 2 * length:
        del data[place : place + length]
    elif how == 3:
        data[place:place] = data[place : place + length] * rng.choice((1, 3))
    elif how == 4:
        other = rng.choice(sound_files())
        data[place : place + length] = other[place : place + length]
    else:
        extreme = rng.choice((0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF))
        data[place : place + 4] = struct.pack(rng.choice("<>") + "I", extreme)
