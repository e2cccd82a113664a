"""Choices that outlive a page."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from newbie_gui.remember import Remembered


def test_a_choice_is_there_again_after_a_restart(tmp_path: Path):
    file = tmp_path / "choices.json"
    Remembered(file).set("dataset", "猫")
    Remembered(file).set("preset", None)
    assert Remembered(file).get("dataset") == "猫"
    assert Remembered(file).get("preset", "x") is None
    assert Remembered(file).get("unknown", 5) == 5


def test_a_damaged_file_counts_as_empty_and_is_replaced(tmp_path: Path):
    file = tmp_path / "choices.json"
    file.write_bytes(b"[1, 2")
    assert Remembered(file).get("dataset") is None
    Remembered(file).set("dataset", "a")
    assert Remembered(file).get("dataset") == "a"


def test_choices_of_several_clicks_at_once_are_all_kept(tmp_path: Path):
    remembered = Remembered(tmp_path / "choices.json")
    names = [str(number) for number in range(40)]
    with ThreadPoolExecutor(8) as clicks:
        list(clicks.map(remembered.set, names, names))
        list(clicks.map(lambda name: remembered.amend("all", {name: 1}), names))
    assert [remembered.get(name) for name in names] == names and remembered.get("all") == dict.fromkeys(names, 1)
