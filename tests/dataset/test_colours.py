"""Colour profiles: what a viewer shows is what is learnt, and what is odd about a profile costs no picture."""

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from colour_profiles import cmyk_profile, endless_chain, grey_profile, icc, rgb_profile
from picture_files import chunk, png
from PIL import Image, ImageCms

from trainer_core.contracts.workspace import Workspace
from trainer_core.dataset import colours
from trainer_core.dataset.images import load_rgb, read_header
from trainer_core.dataset.index_file import IndexPlaces
from trainer_core.dataset.indexing import examine
from trainer_core.dataset.scan import scan_dataset

P3 = rgb_profile("Display P3")
# sRGB's pure red as the numbers of Display P3.
RED_IN_P3 = (234, 51, 35)
LITTLE_CMS = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def write(path: Path, image: Image.Image, profile: bytes | None, form: str = "PNG") -> Path:
    options = {"lossless": True} if form == "WEBP" else {"quality": 100}
    image.save(path, form, icc_profile=profile, **options)
    return path


def read(folder: Path, mode: str, colour: object, profile: bytes | None, form: str = "PNG") -> tuple[int, ...]:
    """The middle of a picture of one colour; the header tells of a change exactly where there is one."""
    path = write(folder / "a.png", Image.new(mode, (16, 16), colour), profile, form)
    found, plain = load_rgb(path), load_rgb(write(folder / "b.png", Image.new(mode, (16, 16), colour), None, form))
    assert found.mode == "RGB" and "icc_profile" not in found.info
    assert read_header(path).converted or found.getpixel((8, 8)) == plain.getpixel((8, 8))
    return found.getpixel((8, 8))


def near(found: tuple[int, ...], wanted: tuple[int, ...], by: int = 2) -> bool:
    return all(abs(one - other) <= by for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_a_wide_gamut_is_converted_in_every_format(tmp_path: Path, form: str) -> None:
    assert near(read(tmp_path, "RGB", RED_IN_P3, P3, form), (255, 0, 0), by=4)


@pytest.mark.parametrize(
    ("name", "stored", "seen"),
    [
        ("Adobe RGB", (219, 0, 0), (255, 0, 0)), ("Adobe RGB", (144, 255, 60), (0, 255, 0)),
        ("ProPhoto", (179, 70, 26), (255, 0, 0)), ("Display P3", (0, 0, 0), (0, 0, 0)),
        ("Display P3", (255, 255, 255), (255, 255, 255)), ("Display P3", (128, 128, 128), (128, 128, 128)),
    ],
)  # fmt: skip
def test_known_colours_of_known_spaces(
    tmp_path: Path, name: str, stored: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    assert near(read(tmp_path, "RGB", stored, rgb_profile(name)), seen)


@pytest.mark.parametrize("profile", [None, LITTLE_CMS, rgb_profile("sRGB")])
def test_srgb_is_left_as_it_is(tmp_path: Path, profile: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colours.Conversion, "applied", None)
    noise = Image.effect_noise((40, 30), 90).convert("RGB")
    path = write(tmp_path / "a.png", noise, profile)
    assert not read_header(path).converted and np.array_equal(np.asarray(load_rgb(path)), np.asarray(noise))


@pytest.mark.parametrize(("alpha", "seen"), [(255, (255, 0, 0)), (128, (255, 127, 127)), (0, (255, 255, 255))])
@pytest.mark.parametrize("form", ["PNG", "WEBP"])
def test_alpha_is_kept_and_laid_on_white(tmp_path: Path, form: str, alpha: int, seen: tuple[int, ...]) -> None:
    assert near(read(tmp_path, "RGBA", (*RED_IN_P3, alpha), P3, form), seen)


def test_a_palette_is_converted(tmp_path: Path) -> None:
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, *RED_IN_P3])
    assert near(load_rgb(write(tmp_path / "a.png", palette, P3)).getpixel((0, 0)), (255, 0, 0))


@pytest.mark.parametrize(("mode", "colour"), [("L", 128), ("LA", (128, 255))])
def test_grey_profiles(tmp_path: Path, mode: str, colour: object) -> None:
    assert read(tmp_path, mode, colour, grey_profile(1.0)) == (188,) * 3
    assert near(read(tmp_path, mode, colour, grey_profile(2.2)), (128,) * 3)
    # Grey pictures out of a programme that works in RGB.
    assert near(read(tmp_path, mode, colour, rgb_profile("ProPhoto")), (146,) * 3)


@pytest.mark.parametrize(("profile", "seen"), [(grey_profile(1.0), 188), (rgb_profile("ProPhoto"), 146)])
@pytest.mark.parametrize("hidden", [False, True])
def test_grey_of_16_bit_with_a_profile(tmp_path: Path, hidden: bool, profile: bytes, seen: int) -> None:
    value = struct.pack(">H", 128 * 257)
    embedded = chunk(b"iCCP", b"grey\0\0" + zlib.compress(profile))
    extra = embedded + (chunk(b"tRNS", value) if hidden else b"")
    (tmp_path / "a.png").write_bytes(png(3, 2, colour=0, depth=16, pixel=value, extra=extra))
    assert near(load_rgb(tmp_path / "a.png").getpixel((0, 0)), (255 if hidden else seen,) * 3)


def test_cmyk_with_a_profile_prints_as_it_is_printed(tmp_path: Path) -> None:
    assert near(read(tmp_path, "CMYK", (0, 0, 0, 0), cmyk_profile(), "JPEG"), (255, 255, 255))
    red, green, blue = read(tmp_path, "CMYK", (255, 0, 0, 0), cmyk_profile(), "JPEG")
    assert red < 40 and 130 < green < 170 and 200 < blue < 235
    assert read(tmp_path, "CMYK", (255, 0, 0, 0), None, "JPEG")[1] > 240  # as before


TOO_LARGE = P3 + bytes(colours.MAX_PROFILE_BYTES)
BROKEN_CURVES = icc(
    b"RGB ", {name: b"curv" + b"\xff" * 8 for name in (b"rXYZ", b"gXYZ", b"bXYZ", b"rTRC", b"gTRC", b"bTRC")}
)


@pytest.mark.parametrize(
    ("mode", "profile", "why"),
    [
        ("RGB", b"not a profile", "damaged"), ("RGB", P3[:200], "damaged"), ("RGB", BROKEN_CURVES, "damaged"),
        ("RGB", TOO_LARGE, "over 4 MiB"), ("RGB", grey_profile(1.0), "another kind"),
        ("L", cmyk_profile(), "another kind"), ("CMYK", P3, "another kind"),
        ("RGB", icc(b"RGB ", {}, kind=b"link"), "not for pictures"), ("RGB", endless_chain(100_000), "not read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_unusable_profile_costs_no_picture(tmp_path: Path, mode: str, profile: bytes, why: str) -> None:
    form = "JPEG" if mode == "CMYK" else "PNG"
    path, plain = (
        write(tmp_path / name, Image.new(mode, (16, 16)), used, form)
        for name, used in (("a.jpg", profile), ("b", None))
    )
    assert load_rgb(path).tobytes() == load_rgb(plain).tobytes()
    header = read_header(path)
    assert why in header.profile_problem and not header.converted
    assert [p.message for p in scan_dataset(tmp_path, strict=True).problems if p.kind == "profile"] == [
        f"{path}: its colour profile is not used: {header.profile_problem}. Its colours are taken as they are stored."
    ]


def test_a_profile_behind_the_pixels_counts_nowhere(tmp_path: Path) -> None:
    late = chunk(b"iCCP", b"p3\0\0" + zlib.compress(P3))
    (tmp_path / "a.png").write_bytes(png(4, 4, colour=2, depth=8, pixel=bytes(RED_IN_P3), tail=late))
    assert load_rgb(tmp_path / "a.png").getpixel((0, 0)) == RED_IN_P3
    assert not read_header(tmp_path / "a.png").converted


def test_the_small_pictures_of_the_page_show_what_is_learnt(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png", Image.new("RGB", (64, 64), RED_IN_P3), P3)
    places = IndexPlaces(Workspace(tmp_path / "workspace"), tmp_path)
    record = examine(path, places, "0" * 32)
    for made in (places.thumbnail(record.key), places.preview(record.key)):
        with Image.open(made) as small:
            assert "icc_profile" not in small.info and near(small.convert("RGB").getpixel((8, 8)), (255, 0, 0), by=6)


def test_the_scan_tells_which_images_are_converted(tmp_path: Path) -> None:
    write(tmp_path / "a.png", Image.new("RGB", (64, 64)), P3)
    write(tmp_path / "b.png", Image.new("RGB", (64, 64)), LITTLE_CMS)
    assert [item.converted for item in scan_dataset(tmp_path, strict=True).items] == [True, False]


def test_many_at_once_give_what_one_gives(tmp_path: Path) -> None:
    noise = Image.effect_noise((400, 300), 90)
    paths = [
        write(
            tmp_path / f"{name}.png",
            Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)]),
            rgb_profile(name),
        )
        for name in ("Display P3", "Adobe RGB", "ProPhoto")
    ] * 4
    alone = [load_rgb(path).tobytes() for path in paths]
    with ThreadPoolExecutor(8) as threads:
        assert [image.tobytes() for image in threads.map(load_rgb, paths)] == alone
    assert len(set(alone)) == 3
