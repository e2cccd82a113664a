import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from picture_files import PNG_SIGNATURE, bomb, chunk, png, turned_exif
from PIL import Image

from trainer_core.dataset.images import ImageProblem, crop_to, load_rgb, read_header, to_rgb

QUARTERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], dtype=np.uint8)


def file_of(folder: Path, data: bytes, name: str = "a.png") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def noise(size: tuple[int, int] = (120, 90)) -> Image.Image:
    return Image.effect_noise(size, 90).convert("RGB")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "AVIF"])
@pytest.mark.parametrize("name", ["right", "a.png", "ü 猫.jpg"])
def test_every_format_whatever_its_name(tmp_path: Path, form: str, name: str):
    path = file_of(tmp_path, encoded(Image.new("RGB", (24, 16), (200, 40, 90)), form), name)
    image = load_rgb(path)
    assert (image.mode, image.size, read_header(path).size) == ("RGB", (24, 16), (24, 16))
    assert np.abs(np.asarray(image).astype(int) - [200, 40, 90]).max() <= 6


@pytest.mark.parametrize("form", ["TIFF", "PPM", "ICO"])
def test_other_formats_are_refused_whatever_their_name(tmp_path: Path, form: str):
    path = file_of(tmp_path, encoded(noise((32, 32)), form))
    for read in (read_header, load_rgb):
        with pytest.raises(ImageProblem, match=r"a\.png.*PNG, JPEG") as caught:
            read(path)
        assert caught.value.kind == "format"


@pytest.mark.parametrize("head", [b"zTXtworkflow\0\0", b"iTXtworkflow\0\1\0\0\0", b"iCCPprofile\0\0"])
def test_a_long_comment_or_profile_is_no_damage(tmp_path: Path, head: bytes):
    def picture(mebibytes: int) -> Path:
        packed = chunk(head[:4], head[4:] + zlib.compress(b"a" * (mebibytes << 20)))
        return file_of(tmp_path, png(4, 3, colour=2, depth=8, pixel=b"abc", extra=packed))

    assert load_rgb(picture(15)).size == (4, 3)
    with pytest.raises(ImageProblem, match="too large"):
        load_rgb(picture(17))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_the_exif_turn(tmp_path: Path, orientation: int, form: str):
    upright = Image.fromarray(QUARTERS).resize((64, 32), Image.Resampling.NEAREST)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transpose that a camera held this way applied
    stored = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    path = file_of(tmp_path, encoded(stored, form, exif=turned_exif(orientation), quality=95))
    assert read_header(path).size == load_rgb(path).size == (64, 32)
    difference = np.asarray(load_rgb(path)).astype(int) - np.asarray(upright)
    assert np.abs(difference).mean() < 12


def test_exif_behind_a_pngs_pixels_is_seen_by_the_probe_too(tmp_path: Path):
    late = chunk(b"eXIf", turned_exif(6).removeprefix(b"Exif\0\0"))
    path = file_of(tmp_path, png(4, 2, colour=2, depth=8, pixel=b"abc", tail=late))
    assert read_header(path).size == load_rgb(path).size == (2, 4)


def test_damaged_exif_does_not_cost_the_picture(tmp_path: Path):
    path = file_of(tmp_path, encoded(noise(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x09broken"))
    assert read_header(path).size == load_rgb(path).size == (120, 90)


def test_the_probe_does_not_decode(tmp_path: Path):
    path = file_of(tmp_path, encoded(noise(), "PNG")[:2000])
    assert read_header(path).size == (120, 90)
    with pytest.raises(ImageProblem, match="damaged or cut off") as caught:
        load_rgb(path)
    assert caught.value.kind == "truncated"


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF", "AVIF"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
def test_a_cut_off_file_is_an_image_problem(tmp_path: Path, form: str, share: float):
    data = encoded(noise(), form)
    path = file_of(tmp_path, data[: int(len(data) * share)])
    with pytest.raises(ImageProblem, match=r"a\.png"):
        load_rgb(path)


def test_flipped_bytes_never_raise_anything_else(tmp_path: Path):
    rng = np.random.default_rng(0)
    for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "AVIF") * 12:
        data = bytearray(encoded(noise((40, 30)), form))
        for place in rng.integers(0, len(data), 12):
            data[place] = rng.integers(256)
        path = file_of(tmp_path, bytes(data))
        for read in (read_header, load_rgb):
            try:
                read(path)
            except ImageProblem as problem:
                assert problem.path == path


@pytest.mark.parametrize("size", [(8001, 8000), (12_000, 12_000), (60_000, 60_000)])
def test_bombs_are_refused_by_their_header(tmp_path: Path, size: tuple[int, int]):
    path = file_of(tmp_path, bomb(*size))
    for read in (read_header, load_rgb):
        with pytest.raises(ImageProblem, match="64 megapixels") as caught:
            read(path)
        assert caught.value.kind == "too_large"


def test_exactly_64_megapixels_are_allowed(tmp_path: Path):
    assert read_header(file_of(tmp_path, bomb(8000, 8000))).size == (8000, 8000)


def test_a_missing_file_is_an_image_problem(tmp_path: Path):
    with pytest.raises(ImageProblem, match=r"none\.png.*No such file"):
        load_rgb(tmp_path / "none.png")


@pytest.mark.parametrize(("value", "grey"), [(0, 0), (128 * 257, 128), (65535, 255), (1000, 4)])
def test_grey_of_16_bit_is_scaled(tmp_path: Path, value: int, grey: int):
    path = file_of(tmp_path, png(3, 2, colour=0, depth=16, pixel=struct.pack(">H", value)))
    assert load_rgb(path).getpixel((0, 0)) == (grey,) * 3
    assert to_rgb(Image.new("I", (2, 2), value)).getpixel((1, 1)) == (grey,) * 3


def test_grey_of_16_bit_with_a_transparent_value(tmp_path: Path):
    hidden = chunk(b"tRNS", struct.pack(">H", 500))
    path = file_of(tmp_path, png(3, 2, colour=0, depth=16, pixel=struct.pack(">H", 500), extra=hidden))
    assert load_rgb(path).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize("form", ["PNG", "WEBP"])
@pytest.mark.parametrize(("alpha", "red"), [(0, 255), (255, 100), (128, 177)])
def test_transparency_is_white(tmp_path: Path, form: str, alpha: int, red: int):
    data = encoded(Image.new("RGBA", (16, 16), (100, 0, 0, alpha)), form, lossless=True)
    assert abs(load_rgb(file_of(tmp_path, data)).getpixel((8, 8))[0] - red) <= 1


def test_palettes_and_single_colours_can_be_transparent(tmp_path: Path):
    palette = Image.new("P", (4, 4), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert load_rgb(file_of(tmp_path, encoded(palette, "PNG"))).getpixel((0, 0)) == (10, 20, 30)
    for transparency in (1, b"\xff\0"):
        path = file_of(tmp_path, encoded(palette, "PNG", transparency=transparency))
        assert load_rgb(path).getpixel((0, 0)) == (255, 255, 255)
    keyed = png(2, 2, colour=2, depth=8, pixel=b"abc", extra=chunk(b"tRNS", struct.pack(">HHH", *b"abc")))
    assert load_rgb(file_of(tmp_path, keyed)).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("mode", "colour", "rgb"), [("LA", (7, 0), 255), ("L", 7, 7), ("1", 1, 255), ("PA", (0, 0), 255)]
)
def test_grey_modes(mode: str, colour: object, rgb: int):
    assert to_rgb(Image.new(mode, (2, 2), colour)).getpixel((0, 0)) == (rgb,) * 3


def test_cmyk(tmp_path: Path):
    path = file_of(tmp_path, encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = load_rgb(path).getpixel((8, 8))
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_first_frame_of_an_animation(tmp_path: Path, form: str):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue", "lime")]
    path = file_of(tmp_path, encoded(frames[0], form, save_all=True, append_images=frames[1:]))
    red, green, blue = load_rgb(path).getpixel((8, 8))
    assert red > 230 and green < 25 and blue < 25


def test_a_png_without_a_header_is_no_picture(tmp_path: Path):
    with pytest.raises(ImageProblem):
        read_header(file_of(tmp_path, PNG_SIGNATURE + chunk(b"IEND", b"")))


@pytest.mark.parametrize("size", [(64, 64), (640, 64), (63, 129), (1, 1), (1, 900), (130, 128), (999, 997)])
@pytest.mark.parametrize("bucket", [(64, 64), (128, 64), (48, 192)])
def test_a_crop_is_exact_and_never_padded(size: tuple[int, int], bucket: tuple[int, int]):
    cropped = crop_to(Image.new("RGB", size, "white"), bucket)
    assert cropped.size == bucket
    assert np.asarray(cropped).min() == 255


def test_the_crop_keeps_the_centre():
    bars = np.zeros((64, 256, 3), dtype=np.uint8)
    bars[:, 96:160] = 255
    assert np.asarray(crop_to(Image.fromarray(bars), (64, 64))).min() > 250
    ramp = np.tile(np.linspace(0, 255, 200).astype(np.uint8)[:, None, None], (1, 50, 3))
    assert abs(np.asarray(crop_to(Image.fromarray(ramp), (48, 48))).mean() - 127.5) < 1
