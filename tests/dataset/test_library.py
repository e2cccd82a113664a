import json
import os
from pathlib import Path

import pytest
from picture_files import put

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.library import Library


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "workspace/datasets", tmp_path / "workspace/trash")


def names(library: Library) -> list[str]:
    return [info.name for info in library.list()]


def refused(action) -> str:
    with pytest.raises(UserError) as caught:
        action()
    return caught.value.code


def test_create_rename_delete(library: Library):
    info = library.create("我的猫 ü")
    put(info.path / "10_cat/a.png", "tag")
    renamed = library.rename("我的猫 ü", "dogs")
    assert names(library) == ["dogs"] and (renamed.path / "10_cat/a.txt").read_text() == "tag"
    place = library.delete("dogs")
    assert names(library) == [] and (place / "10_cat/a.png").is_file()
    assert "dogs" in place.name


def test_the_same_name_can_be_deleted_twice(library: Library):
    places = set()
    for _ in range(2):
        library.create("cats")
        places.add(library.delete("cats"))
    assert len(places) == 2


@pytest.mark.parametrize("name", ["", " ", "../x", "a/b", "a\\b", ".hidden", "con", "a\0b", "x" * 121, "a:b", "end."])
def test_names_that_are_no_safe_folder_are_refused(library: Library, name: str):
    library.create("cats")
    assert refused(lambda: library.create(name)) == "name_invalid"
    assert refused(lambda: library.rename("cats", name)) == "name_invalid"
    assert refused(lambda: library.add_concept("cats", name, 1)) == "name_invalid"


@pytest.mark.parametrize("name", ["..", "../datasets/cats", "", "none"])
def test_only_listed_data_sets_can_be_reached(library: Library, name: str):
    library.create("cats")
    for action in (library.delete, library.get, library.concepts, lambda n: library.rename(n, "new")):
        assert refused(lambda action=action: action(name)) == "dataset_missing"


def test_a_name_is_taken_in_any_case(library: Library):
    library.create("Cats")
    assert refused(lambda: library.create("cats")) == "dataset_exists"
    assert library.rename("Cats", "cats").name == "cats"


def test_another_case_of_the_name_may_be_another_folder(library: Library, tmp_path: Path):
    put(library.create("cats").path / "a.png")
    try:
        (tmp_path / "workspace/datasets/Cats").mkdir()
    except FileExistsError:
        pytest.skip("case does not count on this disk")
    assert refused(lambda: library.rename("cats", "Cats")) == "dataset_exists"
    assert (tmp_path / "workspace/datasets/cats/a.png").is_file()


def test_concepts_are_folders_with_their_repeats(library: Library):
    info = library.create("cats")
    assert library.add_concept("cats", "小猫", 10).folder == "10_小猫"
    put(info.path / "10_小猫/a.png", "tag")
    assert refused(lambda: library.add_concept("cats", "小猫", 3)) == "concept_exists"
    library.change_concept("cats", "10_小猫", label="kitten", repeats=5)
    assert (info.path / "5_kitten/a.png").is_file()
    assert [(c.label, c.repeats) for c in library.concepts("cats")] == [("kitten", 5)]
    assert (library.delete_concept("cats", "5_kitten") / "a.png").is_file()
    assert library.concepts("cats") == ()


def test_a_concept_is_not_moved_through_a_link(library: Library, tmp_path: Path):
    info = library.create("cats", 1)
    (tmp_path / "outside").mkdir()
    (info.path / "2_kitten").symlink_to(tmp_path / "outside")
    assert refused(lambda: library.change_concept("cats", "1_cats", label="kitten", repeats=2)) == "concept_exists"
    assert (info.path / "1_cats").is_dir() and list((tmp_path / "outside").iterdir()) == []


@pytest.mark.parametrize("folder", ["..", ".", "", "none", "/", "../other"])
def test_only_listed_concepts_can_be_changed(library: Library, folder: str):
    library.create("cats")
    assert refused(lambda: library.delete_concept("cats", folder)) == "concept_missing"
    assert refused(lambda: library.change_concept("cats", folder, label="x", repeats=1)) == "concept_missing"


@pytest.mark.parametrize("repeats", [0, -1, 10_001])
def test_repeats_have_a_range(library: Library, repeats: int):
    library.create("cats")
    assert refused(lambda: library.add_concept("cats", "x", repeats)) == "repeats_invalid"


def test_folders_that_kohya_tools_made_are_read(library: Library):
    info = library.create("cats")
    for folder in ("3_a b", "plain", "a10_b", "5_", "0_none", ".git"):
        (info.path / folder).mkdir()
    found = [(c.label, c.repeats) for c in library.concepts("cats")]
    assert found == [("0_none", 0), ("a b", 3), ("5_", 5), ("a10_b", 1), ("plain", 1)]


def test_a_folder_elsewhere_is_remembered_and_only_forgotten(library: Library, tmp_path: Path):
    outside = put(tmp_path / "elsewhere/猫/a.png").parent
    info = library.point_at(f' "{outside}" ')
    assert (info.name, info.external, info.path) == ("猫", True, outside)
    assert library.point_at(str(outside)) == info and names(library) == ["猫"]
    for action in (library.delete, lambda n: library.rename(n, "x"), lambda n: library.add_concept(n, "x", 1)):
        assert refused(lambda action=action: action("猫")) == "dataset_external"
    library.forget("猫")
    assert names(library) == [] and (outside / "a.png").is_file()


def test_folders_elsewhere_with_one_name_are_told_apart(library: Library, tmp_path: Path):
    library.create("cats")
    folders = [put(tmp_path / f"{place}/cats/a.png").parent for place in "ab"]
    assert [library.point_at(str(folder)).name for folder in folders] == ["cats (2)", "cats (3)"]


def test_a_remembered_folder_that_is_gone_says_so(library: Library, tmp_path: Path):
    outside = tmp_path / "drive"
    outside.mkdir()
    library.point_at(str(outside))
    outside.rmdir()
    assert [info.present for info in library.list()] == [False]
    assert refused(lambda: library.get("drive")) == "dataset_missing"


@pytest.mark.parametrize("folder", ["", "relative", "/", "~", "~/x", "/none/there", "/\0"])
def test_what_cannot_be_pointed_at(library: Library, folder: str):
    assert refused(lambda: library.point_at(folder)) in ("folder_unfit", "dataset_missing")


def test_the_programs_own_folders_and_those_around_are_no_data_set(library: Library, tmp_path: Path):
    library.create("cats")
    for folder in (tmp_path, tmp_path / "workspace", tmp_path / "workspace/datasets/cats", Path.home()):
        assert refused(lambda folder=folder: library.point_at(str(folder))) == "folder_unfit"


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", json.dumps({"a": 3}).encode()])
def test_a_damaged_list_of_folders_is_no_obstacle(library: Library, tmp_path: Path, content: bytes):
    library.create("cats")
    (tmp_path / "workspace/datasets/.external.json").write_bytes(content)
    assert "cats" in names(library)


def test_an_image_goes_to_the_trash_with_its_caption(library: Library):
    image = put(library.create("cats").path / "1_a/x.png", "tag")
    place = library.delete_image("cats", image, image.with_suffix(".txt"))
    assert sorted(os.listdir(place)) == ["x.png", "x.txt"] and not image.exists()


def test_an_image_elsewhere_is_not_moved(library: Library, tmp_path: Path):
    library.create("cats")
    other = put(tmp_path / "x.png")
    assert refused(lambda: library.delete_image("cats", other, None)) == "image_missing"
    assert other.is_file()
