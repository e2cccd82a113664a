import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from picture_files import bomb, put, turned_exif
from PIL import Image

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.caption_files import MAX_CAPTION_BYTES
from trainer_core.dataset.finding import repeats_of
from trainer_core.dataset.images import load_rgb
from trainer_core.dataset.scan import Scan, scan_dataset


def scan(root: Path) -> Scan:
    return scan_dataset(root, strict=False)


def kinds(found: Scan, *, severe: bool | None = None) -> list[str]:
    return sorted(p.kind for p in found.problems if severe is None or p.severe == severe)


def names(found: Scan) -> list[str]:
    return [str(item.relative) for item in found.items]


@pytest.mark.parametrize(
    ("folder", "count"),
    [
        ("10_character", 10),
        ("1girl_set", 1),
        ("3d", 1),
        ("plain", 1),
        ("1_x", 1),
        ("007_bond", 7),
        ("5_", 5),
        ("_5_x", 1),
    ],
)
def test_repeats_in_a_folders_name(folder: str, count: int):
    assert repeats_of(folder) == count


@pytest.mark.parametrize("folder", ["0_x", "00_x", "10001_x", "9" * 200 + "_x"])
def test_a_folder_with_impossible_repeats_is_left_out_whole(tmp_path: Path, folder: str):
    put(tmp_path / "good/a.png", "a")
    put(tmp_path / folder / "deeper/b.png", "b")
    found = scan(tmp_path)
    assert names(found) == ["good/a.png"]
    assert kinds(found, severe=True) == ["repeats"] and folder in found.problems[0].message


def test_the_folders_of_the_root_set_the_repeats_and_deeper_ones_are_told(tmp_path: Path):
    for name in ("a.png", "3_x/b.png", "3_x/more/c.png", "3_x/2023_y/d.png", "1girl_set/20230101_z/e.png"):
        put(tmp_path / name, "tag")
    found = scan(tmp_path)
    assert {str(item.relative): item.repeats for item in found.items} == {
        "1girl_set/20230101_z/e.png": 1,
        "3_x/2023_y/d.png": 3,
        "3_x/b.png": 3,
        "3_x/more/c.png": 3,
        "a.png": 1,
    }
    assert [problem.path.name for problem in found.problems] == ["20230101_z", "2023_y"]
    assert kinds(found, severe=False) == ["repeats", "repeats"]


def test_the_root_sets_no_repeats_and_says_so(tmp_path: Path):
    put(tmp_path / "10_me/a.png", "tag")
    found = scan(tmp_path / "10_me")
    assert found.items[0].repeats == 1
    assert kinds(found, severe=False) == ["repeats"]


def test_items_are_sorted_and_complete(tmp_path: Path):
    put(tmp_path / "b/ü 猫.png", "  1girl,\n smile ", size=(30, 20))
    put(tmp_path / "a.PNG", "x")
    found = scan(tmp_path)
    assert names(found) == ["a.PNG", "b/ü 猫.png"] and not found.problems
    item = found.items[1]
    assert item.relative == PurePosixPath("b/ü 猫.png") and item.path == tmp_path / "b/ü 猫.png"
    assert (item.caption, item.width, item.height) == ("1girl,\n smile", 30, 20)


def test_sizes_are_those_after_the_exif_turn(tmp_path: Path):
    Image.new("RGB", (40, 10)).save(tmp_path / "a.jpg", exif=turned_exif(6))
    item = scan(tmp_path).items[0]
    assert (item.width, item.height) == (10, 40) == load_rgb(item.path).size


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_utf_8_captions_with_and_without_mark(tmp_path: Path, encoding: str):
    put(tmp_path / "a.png").with_suffix(".txt").write_text("猫, ü", encoding=encoding)
    assert scan(tmp_path).items[0].caption == "猫, ü"


@pytest.mark.parametrize(
    "data", ["猫, ü".encode("utf-16"), "cat".encode("utf-16-le"), "猫, 少女".encode("gbk"), b"caf\xe9"]
)
def test_other_encodings_are_named_and_their_image_is_left_out(tmp_path: Path, data: bytes):
    put(tmp_path / "good.png", "a")
    put(tmp_path / "bad.png").with_suffix(".txt").write_bytes(data)
    found = scan(tmp_path)
    assert names(found) == ["good.png"]
    assert kinds(found) == ["caption_encoding"] and "bad.txt" in found.problems[0].message


def test_a_huge_caption_is_not_read(tmp_path: Path):
    put(tmp_path / "good.png", "a")
    put(tmp_path / "bad.png", "a" * (MAX_CAPTION_BYTES + 1))
    found = scan(tmp_path)
    assert kinds(found, severe=True) == ["caption_too_long"] and "shorten it" in found.problems[0].message


def test_partners_that_are_missing_or_shared_are_said(tmp_path: Path):
    put(tmp_path / "alone.png")
    put(tmp_path / "empty.png", " \n")
    put(tmp_path / "twin.png", "both")
    put(tmp_path / "twin.jpg")
    (tmp_path / "orphan.txt").write_text("nobody")
    found = scan(tmp_path)
    assert {str(item.relative): item.caption for item in found.items} == {
        "alone.png": "",
        "empty.png": "",
        "twin.jpg": "both",
        "twin.png": "both",
    }
    assert [(p.kind, p.path.name) for p in found.problems] == [
        ("no_caption", "alone.png"),
        ("no_caption", "empty.png"),
        ("no_image", "orphan.txt"),
        ("same_stem", "twin.png"),
    ]
    assert scan_dataset(tmp_path, strict=True) == found


def test_captions_as_other_programs_call_them_are_named(tmp_path: Path):
    for name in ("0.png", "1.png"):
        put(tmp_path / name)
    put(tmp_path / "2.png", "read")
    for name in ("0.caption", "1.png.txt", "2.caption"):
        (tmp_path / name).write_text("not read")
    found = scan(tmp_path)
    assert [(p.kind, p.path.name) for p in found.problems if p.kind != "no_caption"] == [
        ("other_caption", "0.caption"),
        ("other_caption", "1.png.txt"),
    ]
    assert found.problems[0].message.endswith("0.caption: not read as the caption of 0.png; rename it to 0.txt.")


def test_masks_of_another_trainer_are_no_pictures(tmp_path: Path):
    for name in ("0.png", "0-masklabel.png", "0-condlabel.png", "alone-masklabel.png"):
        put(tmp_path / name, "shown")
    found = scan(tmp_path)
    assert [str(item.relative) for item in found.items] == ["0.png", "alone-masklabel.png"]
    assert ("mask", "0-masklabel.png") in [(p.kind, p.path.name) for p in found.problems]
    assert not any(p.severe for p in found.problems)


def test_a_mistake_in_a_captions_xml_is_told_and_costs_nothing(tmp_path: Path):
    put(tmp_path / "a.png", "<general_tags><backgroud>sea</backgroud></general_tags>")
    found = scan(tmp_path)
    [problem] = found.problems
    assert len(found.items) == 1 and problem.kind == "caption_xml" and not problem.severe
    assert "<backgroud> is not among NewBie's elements, <background> is. It is trained as it stands." in problem.message


def test_a_set_without_any_caption_is_told_once_and_first(tmp_path: Path):
    put(tmp_path / "a.png")
    put(tmp_path / "b.png", "")
    first, *others = scan(tmp_path).problems
    assert first.kind == "no_captions" and "no image has a caption" in first.message and not first.severe
    assert [problem.kind for problem in others] == ["no_caption", "no_caption"]


def test_accents_match_in_both_unicode_forms(tmp_path: Path):
    put(tmp_path / "\u00e9.png")
    (tmp_path / "e\u0301.txt").write_text("accent")
    assert scan(tmp_path).items[0].caption == "accent"


def make_text(path: Path) -> None:
    path.write_text("this is no picture")


def make_bomb(path: Path) -> None:
    path.write_bytes(bomb(9000, 9000))


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_dead_link(path: Path) -> None:
    path.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("name", "make", "kind"),
    [
        ("bad.png", make_text, "format"),
        ("bad.webp", Path.touch, "format"),
        ("bad.tiff", make_text, "format"),
        ("bad.HEIC", make_text, "format"),
        ("bad.jpg", make_bomb, "too_large"),
        ("bad.gif", make_dead_link, "broken"),
        pytest.param("bad.bmp", make_pipe, "broken", marks=pytest.mark.skipif(os.name == "nt", reason="no pipes")),
    ],
)
def test_what_cannot_be_used_is_named_and_left_out(tmp_path: Path, name: str, make: Callable, kind: str):
    put(tmp_path / "good.png", "a")
    make(tmp_path / name)
    (tmp_path / "bad.txt").write_text("its caption is no orphan")
    found = scan(tmp_path)
    assert names(found) == ["good.png"]
    assert kinds(found) == [kind] and name in found.problems[0].message
    with pytest.raises(UserError, match="bad") as caught:
        scan_dataset(tmp_path, strict=True)
    assert caught.value.code == "dataset_problem"


def test_a_strict_run_lists_every_severe_problem(tmp_path: Path):
    put(tmp_path / "good.png")
    for name in ("one.png", "two.tif", "0_x/three.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        make_text(tmp_path / name)
    with pytest.raises(UserError) as caught:
        scan_dataset(tmp_path, strict=True)
    assert all(name in str(caught.value) for name in ("one.png", "two.tif", "0_x"))
    assert "good.png" not in str(caught.value)


def test_hidden_files_and_other_files_are_passed_over(tmp_path: Path):
    for name in ("good.png", ".hidden.png", ".git/a.png", "._good.png"):
        put(tmp_path / name, "a")
    (tmp_path / "notes.json").write_text("{}")
    found = scan(tmp_path)
    assert names(found) == ["good.png"] and not found.problems


def test_links_to_files_are_followed_links_to_folders_are_not(tmp_path: Path):
    outside = put(tmp_path / "elsewhere/a.png")
    root = put(tmp_path / "root/sub/own.png", "x").parent.parent
    (root / "linked.png").symlink_to(outside)
    (root / "linked.txt").write_text("a link")
    (root / "sub/loop").symlink_to(root)
    found = scan(root)
    assert names(found) == ["linked.png", "sub/own.png"]
    assert kinds(found, severe=True) == ["link"] == kinds(found)
    with pytest.raises(UserError, match=r"root/sub/loop: a link to a folder is not followed"):
        scan_dataset(root, strict=True)


def test_a_set_of_links_alone_names_them(tmp_path: Path):
    put(tmp_path / "elsewhere/a.png")
    (tmp_path / "root").mkdir()
    (tmp_path / "root/10_anna").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError) as caught:
        scan(tmp_path / "root")
    assert caught.value.code == "dataset_empty" and "10_anna: a link" in caught.value.hints[0]


@pytest.mark.skipif(os.name == "nt" or os.uname().sysname == "Darwin", reason="file names are always Unicode here")
def test_a_name_that_is_no_unicode_is_said(tmp_path: Path):
    put(tmp_path / "good.png", "a")
    (tmp_path / os.fsdecode(b"bad\xff.png")).write_bytes((tmp_path / "good.png").read_bytes())
    found = scan(tmp_path)
    assert names(found) == ["good.png"] and kinds(found, severe=True) == ["name"]
    found.problems[0].message.encode()


@pytest.mark.parametrize("strict", [True, False])
def test_nothing_usable(tmp_path: Path, strict: bool):
    (tmp_path / "readme.txt").write_text("soon")
    with pytest.raises(UserError, match=r"\.avif.*\.png") as caught:
        scan_dataset(tmp_path, strict=strict)
    assert caught.value.code == "dataset_empty"


def test_a_folder_that_is_not_there(tmp_path: Path):
    with pytest.raises(UserError, match="is not a folder") as caught:
        scan(tmp_path / "none")
    assert caught.value.code == "dataset_missing" and caught.value.hints == ("Check the path.",)
    with pytest.raises(UserError, match="train_data_dir: none is not a folder") as caught:
        scan(Path("none"))
    assert str(Path.cwd() / "none") in caught.value.hints[0]
