"""Reading a training image safely: closed list of formats, size from the header first, always plain RGB out."""

import os
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "AVIF")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".avif"})
MAX_PIXELS = 64_000_000
_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_QUARTER_TURNS = frozenset({5, 6, 7, 8})
# What Pillow raises for damaged files, beside its own UnidentifiedImageError (an OSError).
_DAMAGE = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    LookupError,
    TypeError,
    RuntimeError,
    MemoryError,
    OverflowError,
    struct.error,
    Image.DecompressionBombError,
)


class ImageProblem(Exception):
    """A picture that cannot be used. kind: broken, truncated, too_large, format."""

    def __init__(self, kind: str, path: Path, reason: str) -> None:
        self.kind = kind
        self.path = path
        self.message = f"{path}: {reason}"
        super().__init__(self.message)


def _open(path: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Pillow's own bomb warning starts at 89 MP; our limit is lower and checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise ImageProblem("too_large", path, f"more than {MAX_PIXELS // 10**6} megapixels") from error
    except _DAMAGE as error:
        raise ImageProblem("format", path, f"not a readable picture of {', '.join(FORMATS)}") from error
    if image.width * image.height > MAX_PIXELS:
        size = f"{image.width} x {image.height}"
        image.close()
        raise ImageProblem("too_large", path, f"{size} is more than {MAX_PIXELS // 10**6} megapixels")
    return image


def probe_size(path: Path) -> tuple[int, int]:
    """(width, height) as shown, EXIF turn applied, from the header alone. Raises ImageProblem."""
    with _open(path) as image:
        size = image.size
        # Pillow decodes a whole PNG in search of EXIF data that may follow the pixels: done only where some does.
        known = image.format != "PNG" or "exif" in image.info or _has_exif_chunk(path)
        return size[::-1] if known and _orientation(image) in _QUARTER_TURNS else size


def load_rgb(path: Path) -> Image.Image:
    """The picture as RGB: EXIF turn applied, transparency on white, 16 bit scaled, first frame only.

    Raises ImageProblem.
    """
    with _open(path) as image:
        try:
            image.load()
            upright = _to_rgb(image)
        except _DAMAGE as error:
            raise ImageProblem("truncated", path, f"broken or cut off ({error})") from error
        turn = _TURNS.get(_orientation(image))
        return upright if turn is None else upright.transpose(turn)


def _orientation(image: Image.Image) -> object:
    try:
        return image.getexif().get(_EXIF_ORIENTATION)
    except _DAMAGE:
        # Broken EXIF is no reason to refuse a good picture.
        return None


def _has_exif_chunk(path: Path) -> bool:
    """Whether a PNG has an eXIf chunk anywhere; skips from chunk to chunk without reading them."""
    with open(path, "rb") as file:
        file.seek(8)
        while len(head := file.read(8)) == 8:
            if head[4:] == b"eXIf":
                return True
            file.seek(int.from_bytes(head[:4], "big") + 4, os.SEEK_CUR)
    return False


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image, dtype=np.float64)
        # 16-bit greys are opened as I;16 or I; eight-bit values never are.
        return Image.fromarray(np.clip(values / 257.0, 0, 255).round().astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def crop_to(image: Image.Image, bucket: tuple[int, int]) -> Image.Image:
    """Scale to cover `bucket` (width, height), then crop the centre; exactly that size, never padded."""
    return ImageOps.fit(image, bucket, method=Image.Resampling.LANCZOS, centering=(0.5, 0.5))
