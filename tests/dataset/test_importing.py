import io
import json
import os
import stat
import struct
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest
from dataset_desk import Desk
from picture_files import bomb, put
from PIL import Image

from trainer_core.contracts.errors import UserError
from trainer_core.dataset import import_zip
from trainer_core.dataset.importing import run


def picture(shade: int = 0) -> bytes:
    """A tiny picture; another shade, other bytes."""
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (shade, 0, 0)).save(data, "PNG")
    return data.getvalue()


def upload(desk: Desk, name: str, data: bytes) -> str:
    """A file as Gradio keeps it: in a folder of its own below the uploads."""
    place = desk.workspace.uploads / f"{len(os.listdir(desk.workspace.uploads)):040}" / name
    place.parent.mkdir()
    place.write_bytes(data)
    return str(place)


def take(desk: Desk, *files: tuple[str, bytes], concept: str = "", overwrite: bool = False) -> dict:
    spec = {
        "workspace": str(desk.workspace.root),
        "folder": str(desk.folder),
        "concept": concept,
        "files": [upload(desk, *file) for file in files],
        "overwrite": overwrite,
    }
    return dict(run(spec, desk.job))


def contents(desk: Desk) -> dict[str, bytes]:
    files = sorted(path for path in desk.folder.rglob("*") if path.is_file())
    return {path.relative_to(desk.folder).as_posix(): path.read_bytes() for path in files}


def reasons(result: dict) -> list[tuple[str, str]]:
    return [(refused["name"], refused["reason"]) for refused in result["list"]]


def test_pictures_and_captions_arrive_and_are_indexed(desk: Desk):
    (desk.folder / "10_猫").mkdir()
    result = take(desk, ("少女.png", picture(1)), ("少女.txt", "帽子".encode()), ("b.PNG", picture(2)), concept="10_猫")
    assert (result["added"], result["captions"], result["refused"]) == (2, 1, 0)
    assert list(contents(desk)) == ["10_猫/b.png", "10_猫/少女.png", "10_猫/少女.txt"]
    assert desk.look().pending == 0 and not os.listdir(desk.workspace.uploads)


def test_24_equal_names_are_kept_apart_with_their_captions(desk: Desk):
    take(desk, ("a.png", picture(1)), ("a.txt", b"one"))
    take(desk, ("A.png", picture(2)), ("A.txt", b"two"))
    take(desk, ("a.jpg", picture(3)))
    take(desk, ("a.png", picture(4)), ("a.png", picture(5)), ("a.txt", b"four"), ("a.txt", b"five"))
    captions = {name: data for name, data in contents(desk).items() if name.endswith(".txt")}
    assert captions == {"a.txt": b"one", "A-2.txt": b"two", "a-4.txt": b"four", "a-5.txt": b"five"}
    assert contents(desk)["a-5.png"] == picture(5) and contents(desk)["a-3.jpg"] == picture(3)


def test_a_caption_of_one_of_several_folders_is_not_given_to_another_picture(desk: Desk):
    result = take(desk, ("a.png", picture(1)), ("a.txt", b"anna"), ("a.png", picture(2)), ("b.png", picture(3)))
    assert result["added"] == 3 and reasons(result) == [("a.txt", "several_folders")]
    result = take(desk, ("c.png", picture(4)), ("c.txt", b"one"), ("c.txt", b"two"), ("b.txt", b"1"), ("b.txt", b"2"))
    assert reasons(result) == [(f"{stem}.txt", "several_folders") for stem in "ccbb"]
    assert list(contents(desk)) == ["a-2.png", "a.png", "b.png", "c.png"]


def test_a_caption_may_be_called_by_the_whole_name_of_its_picture(desk: Desk):
    sets = [("a.jpg.txt", b"jpg"), ("a.png.txt", b"png"), ("b.png.txt", b"less exact"), ("b.txt", b"exact")]
    result = take(desk, ("a.png", picture(1)), ("a.jpg", picture(2)), ("b.png", picture(3)), *sets)
    assert (result["captions"], reasons(result)) == (3, [("b.png.txt", "no_picture")])
    captions = {name: data for name, data in contents(desk).items() if name.endswith(".txt")}
    assert captions == {"a.txt": b"png", "a-2.txt": b"jpg", "b.txt": b"exact"}


def test_equal_bytes_are_refused_and_their_caption_is_not_lost(desk: Desk):
    put(desk.folder / "1_x/old.png").write_bytes(picture(1))
    result = take(desk, ("new.png", picture(1)), ("new.txt", b"tag"), ("c.png", picture(2)), ("d.png", picture(2)))
    assert reasons(result) == [("new.png", "duplicate"), ("d.png", "duplicate")]
    assert result["list"][0]["detail"] == "1_x/old.png"
    assert list(contents(desk)) == ["1_x/old.png", "1_x/old.txt", "c.png"]


def test_new_captions_for_pictures_that_are_there_replace_the_old_ones_if_asked(desk: Desk):
    put(desk.folder / "1_x/old.png", "old").write_bytes(picture(1))
    put(desk.folder / "1_x/same.png", "same").write_bytes(picture(2))
    pairs = [("old.png", picture(1)), ("old.txt", b"new"), ("same.png", picture(2)), ("same.txt", b"same")]
    result = take(desk, *pairs)
    assert reasons(result) == [("old.png", "duplicate_captioned"), ("same.png", "duplicate")]
    assert contents(desk)["1_x/old.txt"] == b"old"
    result = take(desk, *pairs, overwrite=True)
    assert (result["added"], result["captions"], reasons(result)) == (0, 2, [])
    assert contents(desk)["1_x/old.txt"] == b"new" and list(contents(desk))[-1] == "1_x/same.txt"


def test_a_lone_caption_finds_its_picture(desk: Desk):
    put(desk.folder / "1_a/cat.png")
    put(desk.folder / "1_b/dog.png", "there")
    for folder in ("1_a", "1_b"):
        put(desk.folder / folder / "twin.png")
    result = take(desk, ("cat.txt", b"meow"), ("dog.txt", b"new"), ("none.txt", b"x"), ("twin.txt", b"x"))
    assert result["captions"] == 1 and contents(desk)["1_a/cat.txt"] == b"meow"
    assert reasons(result) == [("dog.txt", "has_caption"), ("none.txt", "no_picture"), ("twin.txt", "several_pictures")]
    take(desk, ("dog.txt", b"new"), ("twin.txt", b"near"), concept="1_b", overwrite=True)
    assert (contents(desk)["1_b/dog.txt"], contents(desk)["1_b/twin.txt"]) == (b"new", b"near")


def test_what_cannot_be_used_is_listed_with_its_reason(desk: Desk):
    whole = put(desk.workspace.root / "x.png", size=(90, 90)).read_bytes()
    result = take(
        desk,
        ("bomb.png", bomb(12_000, 12_000)),
        ("cut.png", whole[:100]),
        ("text.png", b"no picture"),
        ("x.tiff", b"II*\0"),
        ("x.exe", b"MZ"),
        ("metadata.jsonl", b"{}"),
        ("long.txt", b"a" * (1 << 20 | 1)),
        (".DS_Store", b""),
    )
    assert sorted(reasons(result)) == [
        ("bomb.png", "too_large"),
        ("cut.png", "truncated"),
        ("long.txt", "caption_too_long"),
        ("metadata.jsonl", "list"),
        ("text.png", "format"),
        ("x.exe", "kind"),
        ("x.tiff", "format"),
    ]
    assert not contents(desk) and not os.listdir(desk.workspace.uploads)
    assert len(json.loads((desk.job.folder.path / "refused.json").read_text())) == 7


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content, zipfile.ZIP_DEFLATED)
    return data.getvalue()


def test_one_caption_serves_all_pictures_of_its_name_in_one_folder(desk: Desk):
    take(desk, ("x.zip", zipped(("a.png", picture(1)), ("a.jpg", picture(2)), ("a.txt", b"both"))))
    assert {k: v for k, v in contents(desk).items() if k.endswith("txt")} == {"a.txt": b"both", "a-2.txt": b"both"}


def test_a_zip_keeps_its_concepts_and_pairs_within_folders(desk: Desk):
    (desk.folder / "1_new").mkdir()
    archive = zipped(
        ("set/10_猫/2023_photos/a.png", picture(1)),
        ("set/10_猫/2023_photos/a.txt", b"one"),
        ("set/other/a.png", picture(2)),
        ("set/other/a.txt", b"two"),
        ("__MACOSX/._a.png", b"junk"),
    )
    result = take(desk, ("猫.zip", archive), concept="1_new")
    assert (result["added"], result["captions"], result["refused"]) == (2, 2, 0)
    texts = {name: data for name, data in contents(desk).items() if name.endswith(".txt")}
    assert texts == {"10_猫/a.txt": b"one", "1_new/a.txt": b"two"}


def link_entry() -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo("link.png")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../evil.png", "zip_path"),
        ("/evil.png", "zip_path"),
        ("a/../../evil.png", "zip_path"),
        ("..\\evil.png", "zip_path"),
        ("C:\\evil.png", "zip_path"),
        ("inner.zip", "zip_nested"),
        ("evil.html", "kind"),
        (link_entry(), "zip_link"),
    ],
)
def test_hostile_entries_are_refused_one_by_one(desk: Desk, name: str | zipfile.ZipInfo, reason: str):
    result = take(desk, ("x.zip", zipped((name, picture(1)), ("good.png", picture(2)))))
    assert [r for _, r in reasons(result)] == [reason] and list(contents(desk)) == ["good.png"]
    assert not list(desk.workspace.root.rglob("evil*"))


def test_an_encrypted_entry_is_refused(desk: Desk):
    archive = bytearray(zipped(("a.png", picture(1))))
    for signature, offset in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        archive[archive.index(signature) + offset] |= 1
    assert [r for _, r in reasons(take(desk, ("x.zip", bytes(archive))))] == ["zip_encrypted"]


@pytest.mark.parametrize(
    ("limit", "value", "reason"), [("MAX_ENTRIES", 1, "zip_entries"), ("MAX_TOTAL", 100, "zip_size")]
)
def test_25_a_zip_beyond_its_limits_is_refused_whole(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, limit: str, value: int, reason: str
):
    monkeypatch.setattr(import_zip, limit, value)
    result = take(desk, ("x.zip", zipped(("a.png", picture(1)), ("b.png", picture(2)))))
    assert [r for _, r in reasons(result)] == [reason] and not contents(desk)


def test_a_zip_bomb_is_refused(desk: Desk):
    assert reasons(take(desk, ("x.zip", zipped(("a.png", b"\0" * 3_000_000))))) == [("x.zip", "zip_ratio")]


def test_an_entry_larger_than_it_says_is_refused_and_leaves_nothing(desk: Desk):
    archive = bytearray(zipped(("a.png", picture(1))))
    # The size without compression, in the central list.
    struct.pack_into("<I", archive, archive.index(b"PK\1\2") + 24, 20)
    result = take(desk, ("x.zip", bytes(archive)))
    assert [r for _, r in reasons(result)] == ["zip_broken"] and not contents(desk)


@pytest.mark.parametrize("data", [b"", b"PK\3\4 broken", zipped(("a.png", picture(1)))[:-30]])
def test_damaged_zips_are_refused(desk: Desk, data: bytes):
    assert reasons(take(desk, ("x.zip", data))) == [("x.zip", "zip_broken")]


Usage = namedtuple("Usage", "total used free")


def test_25_a_full_disk_is_said_before_anything_is_written(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda place: Usage(10**12, 10**12, 1000))
    with pytest.raises(UserError, match="MiB needed, 0.0 free") as caught:
        take(desk, ("a.png", picture(1)))
    assert caught.value.code == "disk_full" and not contents(desk)
    assert os.listdir(desk.workspace.uploads), "a failed import must not cost the upload"


def test_a_disk_that_fills_up_keeps_what_arrived(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    real = os.replace

    def full(source: Path, target: Path) -> None:
        if Path(target).name == "b.png":
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError) as caught:
        take(desk, ("a.png", picture(1)), ("b.png", picture(2)), ("b.txt", b"tag"))
    assert caught.value.code == "disk_full" and list(contents(desk)) == ["a.png"]


def test_files_outside_the_uploads_are_copied_and_stay(desk: Desk, tmp_path: Path):
    own = put(tmp_path / "own.png")
    spec = {"workspace": str(desk.workspace.root), "folder": str(desk.folder), "concept": "", "files": [str(own)]}
    assert run(spec, desk.job)["added"] == 1 and own.is_file()


@pytest.mark.parametrize("concept", ["..", "../x", "none", "/tmp", ".import"])
def test_a_concept_that_is_not_there_is_refused(desk: Desk, concept: str):
    with pytest.raises(UserError) as caught:
        take(desk, ("a.png", picture(1)), concept=concept)
    assert caught.value.code == "concept_missing" and not contents(desk)
