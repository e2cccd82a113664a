"""What is deleted can be had back."""

from pathlib import Path

from trainer_core.contracts.trash import to_trash


def test_files_and_folders_keep_their_contents_and_names(tmp_path: Path):
    file, folder = tmp_path / "猫.txt", tmp_path / "run"
    file.write_text("1girl", encoding="utf-8")
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    trash = tmp_path / "trash"
    assert to_trash(trash, file).read_text(encoding="utf-8") == "1girl"
    kept = to_trash(trash, folder, "my run")
    assert (kept / "a").read_bytes() == b"1"
    assert kept.name.endswith("-my run")
    assert not file.exists() and not folder.exists()


def test_equal_names_in_one_second_stay_apart(tmp_path: Path):
    places = set()
    for text in ("1", "2", "3"):
        (tmp_path / "a.txt").write_text(text)
        places.add(to_trash(tmp_path / "trash", tmp_path / "a.txt"))
    assert sorted(place.read_text() for place in places) == ["1", "2", "3"]


def test_a_long_title_keeps_its_begin_and_its_end(tmp_path: Path):
    (tmp_path / "a.txt").touch()
    place = to_trash(tmp_path / "trash", tmp_path / "a.txt", "dataset-" + "数" * 80 + "-10_据.txt")
    assert place.is_file() and len(place.name.encode()) < 255
    assert "-dataset-数" in place.name and place.name.endswith("数-10_据.txt")
