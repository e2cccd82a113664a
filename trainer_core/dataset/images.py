"""Reading a training image safely: closed list of formats, size from the header first, always plain sRGB out."""

import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from trainer_core.dataset.colours import UnusableProfile, conversion_of, converts

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "AVIF")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".gif", ".avif"})
MAX_PIXELS = 64_000_000
# A progressive JPEG has about ten passes. Each costs the whole picture once more and as little as a hundred bytes, so
# that a file of one megabyte could keep the decoder busy for a quarter of an hour.
MAX_JPEG_PASSES = 100
# Pillow unpacks 1 MiB of a comment or colour profile and fails beyond, but a workflow or a profile with tables may be
# longer. Its limit on all comments of a picture, 64 MiB, stays.
PngImagePlugin.MAX_TEXT_CHUNK = 16 << 20

_EXIF_ORIENTATION = 0x0112
_QUARTER_TURNS = frozenset({5, 6, 7, 8})
# Within a pass FF 00 is data and FF D0 to FF D7 are restarts; FF before a marker fills.
_JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_PASS, _JPEG_END = 0xDA, 0xD9
_JPEG_BARE = frozenset({0x01, 0xD8})
_UPRIGHT = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
# What Pillow's decoders really raise on damaged files.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    EOFError,
    OverflowError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)


class ImageProblem(Exception):
    """A picture that cannot be used. kind: broken, truncated, too_large, format, changed."""

    def __init__(self, kind: str, path: Path, reason: str) -> None:
        self.kind = kind
        self.path = path
        self.message = f"{path}: {reason}"
        super().__init__(self.message)


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a picture is before it is decoded.

    Attributes:
        size: (width, height) as shown, EXIF turn applied.
        converted: whether a colour profile changes its numbers on reading.
        profile_problem: why its profile is passed over, one clause; "" where it is not.
    """

    size: tuple[int, int]
    converted: bool
    profile_problem: str


def read_header(path: Path) -> Header:
    """Raises ImageProblem."""
    with _opened(path) as image:
        converted, problem = _converted(image)
        if image.format == "PNG" and _png_has_late_exif(path):
            _decode(image, path)
        turned = _orientation(image) in _QUARTER_TURNS
        return Header(
            size=(image.height, image.width) if turned else image.size,
            converted=converted,
            profile_problem=problem,
        )


def load_rgb(path: Path) -> Image.Image:
    """The picture as sRGB: EXIF turn and colour profile applied, transparency on white, 16 bit scaled, first frame.

    A profile that cannot be used is passed over; `read_header` says why.

    Raises:
        ImageProblem: not one of FORMATS, over MAX_PIXELS, damaged or cut off.
    """
    with _opened(path) as image:
        profile = image.info.get("icc_profile")
        _decode(image, path)
        # Behind its pixels a PNG may bring one that counts nowhere, and that `read_header` does not see.
        image.info["icc_profile"] = profile
        turn = _UPRIGHT.get(_orientation(image))
        return to_rgb(image if turn is None else image.transpose(turn))


def to_rgb(image: Image.Image) -> Image.Image:
    """A decoded picture of any mode as sRGB: transparency composited on white, 16-bit grey scaled to 8 bits."""
    made = _in_srgb(image)
    # Its numbers are sRGB's now, and what is saved from it shall not claim another.
    made.info.pop("icc_profile", None)
    if made.mode == "RGB":
        return made
    white = Image.new("RGB", made.size, "white")
    white.paste(made, mask=made.getchannel("A"))
    return white


def _in_srgb(image: Image.Image) -> Image.Image:
    """A copy: RGB, or RGBA where something is transparent."""
    try:
        conversion = conversion_of(image)
    except UnusableProfile:
        conversion = None
    if conversion and image.mode == "CMYK":
        return conversion.applied(image)
    if image.mode.startswith("I"):
        made = _from_16_bit(image)
    else:
        made = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return conversion.applied(made) if conversion else made


def _converted(image: Image.Image) -> tuple[bool, str]:
    """Whether a profile changes its colours, and why one is not used."""
    try:
        return converts(image), ""
    except UnusableProfile as problem:
        return False, str(problem)


def crop_to(image: Image.Image, bucket: tuple[int, int]) -> Image.Image:
    """Scale to cover `bucket` (width, height), then crop the centre; exactly that size, never padded."""
    return ImageOps.fit(image, bucket, method=Image.Resampling.LANCZOS, centering=(0.5, 0.5))


def _from_16_bit(image: Image.Image) -> Image.Image:
    # In place and by a table: 64 megapixels as 64-bit numbers would take half a gigabyte for each step.
    values = np.asarray(image).clip(0, 65535).astype(np.uint16)
    table = ((np.arange(65536) + 128) // 257).astype(np.uint8)
    # A grey 16-bit PNG names at most one value that is transparent.
    hidden = image.info.get("transparency")
    if isinstance(hidden, int) and 0 <= hidden <= 65535:
        table[hidden] = 255
    grey = table[values]
    return Image.fromarray(grey).convert("RGB")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """The image with only its header read."""
    try:
        image = Image.open(path, formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageProblem("too_large", path, f"more than {MAX_PIXELS // 10**6} megapixels") from error
    except Image.UnidentifiedImageError as error:
        raise ImageProblem("format", path, f"not a readable picture of {', '.join(FORMATS)}") from error
    except _BROKEN as error:
        raise ImageProblem("broken", path, f"cannot be opened ({_reason(error)})") from error
    with image:
        if image.width * image.height > MAX_PIXELS:
            size = f"{image.width} x {image.height}"
            raise ImageProblem("too_large", path, f"{size} is more than {MAX_PIXELS // 10**6} megapixels")
        yield image


def _decode(image: Image.Image, path: Path) -> None:
    try:
        if image.format in ("JPEG", "MPO") and _jpeg_passes(path) > MAX_JPEG_PASSES:
            raise ImageProblem("broken", path, f"a JPEG of more than {MAX_JPEG_PASSES} passes is not read")
        image.load()
    except _BROKEN as error:
        raise ImageProblem("truncated", path, f"damaged or cut off ({_reason(error)})") from error


def _reason(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 (upright) where there is none or the EXIF data is damaged."""
    try:
        # Not image.getexif(): for PNG that decodes all pixels first.
        value = Image.Image.getexif(image).get(_EXIF_ORIENTATION, 1)
    except _BROKEN:
        return 1
    return value if isinstance(value, int) else 1


def _png_has_late_exif(path: Path) -> bool:
    """True for a PNG with metadata after its pixels, which Pillow reads only when it decodes them."""
    with path.open("rb") as file:
        file.seek(8)
        pixels_seen = False
        while len(head := file.read(8)) == 8:
            length, kind = struct.unpack(">I4s", head)
            if pixels_seen and kind in (b"eXIf", b"iTXt", b"zTXt", b"tEXt"):
                return True
            pixels_seen = pixels_seen or kind == b"IDAT"
            file.seek(length + 4, 1)
    return False


def _jpeg_passes(path: Path) -> int:
    """How many passes over the picture a JPEG holds, counted to one too many."""
    place, passes = 2, 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        # Marker by marker and only to the picture's end: phones put a film behind it, previews stand in the EXIF.
        while passes <= MAX_JPEG_PASSES and (found := _JPEG_MARKER.search(data, place)):
            kind = found[0][1]
            if kind == _JPEG_END:
                break
            passes += kind == _JPEG_PASS
            place = found.end()
            if kind not in _JPEG_BARE:
                place += int.from_bytes(data[place : place + 2], "big")
    return passes
