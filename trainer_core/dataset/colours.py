"""Embedded colour profiles: which of them change a picture's colours, and the way of those into sRGB.

Profiles come with the pictures, written by anybody: what is odd about one costs it its effect, never the picture.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageCms

# Printers' profiles with tables have up to 3 MiB, cameras' and screens' a few kilobytes.
MAX_PROFILE_BYTES = 4 << 20

_HEADER_BYTES, _TAG_BYTES, _MAX_TAGS = 128, 12, 100
_DEVICES = frozenset({b"scnr", b"mntr", b"prtr", b"spac"})
# Chains of steps of any length, all of which may be the same few bytes: nothing else in a profile takes long.
_CHAINS = frozenset({b"D2B", b"B2D"})
_GREY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B"})
# Of 256. The many profiles of sRGB, rounded and approximated, differ by up to this much.
_SAME = 2


class UnusableProfile(ValueError):
    """A profile that says nothing about its picture; the text is one clause that says why."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """The way of one picture's colours into sRGB: a transform, or for a grey picture what each value becomes."""

    transform: ImageCms.ImageCmsTransform | None = None
    greys: Sequence[int] = ()

    def applied(self, image: Image.Image) -> Image.Image:
        """RGB or RGBA: changed in place, alpha as it was. A grey picture (as RGB or RGBA), CMYK: a new one."""
        if self.transform is None:
            alpha = range(256) if image.mode == "RGBA" else ()
            return image.point([*self.greys, *self.greys, *self.greys, *alpha])
        if image.mode == "CMYK":
            return self.transform.apply(image)
        return self.transform.apply_in_place(image)


@dataclass(frozen=True, kw_only=True)
class _Way:
    profile: bytes
    source: str
    target: str

    def transform(self, flags: ImageCms.Flags = ImageCms.Flags.NONE) -> ImageCms.ImageCmsTransform:
        """From the mode `source` to sRGB in the mode `target`; black becomes black. Raises UnusableProfile."""
        printed = self.source == "CMYK"
        try:
            return ImageCms.ImageCmsTransform(
                ImageCms.ImageCmsProfile(BytesIO(self.profile)),
                ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")),
                self.source,
                self.target,
                ImageCms.Intent.PERCEPTUAL if printed else ImageCms.Intent.RELATIVE_COLORIMETRIC,
                flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | flags,
            )
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError, MemoryError) as error:
            raise UnusableProfile("it is damaged") from error


def converts(image: Image.Image) -> bool:
    """Whether the profile of an opened picture changes its colours; one that says sRGB does not.

    Needs the header alone, and a millisecond where there is a profile. Raises UnusableProfile.
    """
    return _way(image) is not None


def conversion_of(image: Image.Image) -> Conversion | None:
    """How a picture goes into sRGB; None where its profile changes nothing. Raises UnusableProfile."""
    way = _way(image)
    if way is None:
        return None
    if way.source == "L":
        return Conversion(greys=_greys(way))
    return Conversion(transform=way.transform())


def _way(image: Image.Image) -> _Way | None:
    data = image.info.get("icc_profile")
    if not data:
        return None
    space = _checked(data)
    if space == b"CMYK" and image.mode == "CMYK":
        way = _Way(profile=data, source="CMYK", target="RGB")
        way.transform(ImageCms.Flags.NOOPTIMIZE)
        return way
    if space == b"GRAY" and image.mode in _GREY_MODES:
        way = _Way(profile=data, source="L", target="RGB")
        return way if _differ(_greys(way), bytes(range(256))) else None
    if space == b"RGB " and image.mode != "CMYK":
        # A value of 16-bit grey that is transparent is white by then.
        mode = "RGBA" if image.has_transparency_data and not image.mode.startswith("I") else "RGB"
        way = _Way(profile=data, source=mode, target=mode)
        return way if _changes_colours(way) else None
    raise UnusableProfile("it is for another kind of picture")


def _checked(data: bytes) -> bytes:
    """The colour space that the profile is for. Raises UnusableProfile."""
    if len(data) > MAX_PROFILE_BYTES:
        raise UnusableProfile(f"it is over {MAX_PROFILE_BYTES >> 20} MiB")
    if len(data) < _HEADER_BYTES + 4 or data[36:40] != b"acsp":
        raise UnusableProfile("it is damaged")
    if data[12:16] not in _DEVICES:
        raise UnusableProfile("it is not for pictures")
    (count,) = struct.unpack_from(">I", data, _HEADER_BYTES)
    first = _HEADER_BYTES + 4
    if count > _MAX_TAGS or first + count * _TAG_BYTES > len(data):
        raise UnusableProfile("it is damaged")
    if any(data[place : place + 3] in _CHAINS for place in range(first, first + count * _TAG_BYTES, _TAG_BYTES)):
        raise UnusableProfile("it is of a kind that is not read")
    return data[16:20]


def _greys(way: _Way) -> bytes:
    every = Image.frombytes("L", (256, 1), bytes(range(256)))
    return way.transform(ImageCms.Flags.NOOPTIMIZE).apply(every).getchannel(1).tobytes()


def _changes_colours(way: _Way) -> bool:
    steps = bytes(range(0, 256, 51))
    stored = bytes(part for red in steps for green in steps for blue in steps for part in (red, green, blue))
    sample = Image.frombytes("RGB", (len(stored) // 3, 1), stored).convert(way.source)
    # Without its tables, which make it fast for a whole picture and take longer than all of this.
    found = way.transform(ImageCms.Flags.NOOPTIMIZE).apply_in_place(sample)
    return _differ(found.convert("RGB").tobytes(), stored)


def _differ(found: bytes, stored: bytes) -> bool:
    return any(abs(one - other) > _SAME for one, other in zip(found, stored, strict=True))
