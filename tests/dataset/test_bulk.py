from pathlib import Path

import pytest
from dataset_desk import Desk
from picture_files import put

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.bulk import apply_edit, last_edit, plan_edit, undo_edit
from trainer_core.dataset.caption_edits import checked_edit


def texts(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*.txt"))}


@pytest.fixture
def three(desk: Desk) -> Desk:
    put(desk.folder / "1_a/a.png", "1girl, hat")
    put(desk.folder / "1_a/b.png", "sks, 1boy")
    put(desk.folder / "1_a/c.png")
    return desk


def do(desk: Desk, kind: str, text: str = "", new: str = "") -> int:
    plan = plan_edit(desk.look().pictures, checked_edit(kind, text, new))
    return apply_edit(plan, desk.places)


def test_a_plan_writes_nothing(three: Desk):
    plan = plan_edit(three.look().pictures, checked_edit("prefix", "sks"))
    assert [(change.before, change.after) for change in plan.changes] == [
        ("1girl, hat", "sks, 1girl, hat"),
        ("", "sks"),
    ]
    assert plan.looked_at == 3 and texts(three.folder)["a"] == "1girl, hat" and last_edit(three.places) is None


def test_an_edit_is_done_and_undone_to_the_byte(three: Desk):
    before = {path: path.read_bytes() for path in three.folder.rglob("*") if path.is_file()}
    assert do(three, "prefix", "sks") == 2
    assert texts(three.folder) == {"a": "sks, 1girl, hat", "b": "sks, 1boy", "c": "sks"}
    kept = last_edit(three.places)
    assert kept and (kept.kind, kept.captions) == ("prefix", 2)
    done = undo_edit(three.folder, three.places)
    assert (done.restored, done.kept) == (2, 0)
    assert {path: path.read_bytes() for path in three.folder.rglob("*") if path.is_file()} == before
    assert last_edit(three.places) is None


def test_undo_leaves_later_changes_alone(three: Desk):
    do(three, "append", "x")
    (three.folder / "1_a/a.txt").write_text("by hand")
    (three.folder / "1_a/b.png").unlink()
    done = undo_edit(three.folder, three.places)
    assert (done.restored, done.kept) == (1, 2) and texts(three.folder)["a"] == "by hand"


def test_what_could_not_be_undone_can_be_tried_again(three: Desk):
    do(three, "append", "x")
    concept = (three.folder / "1_a").rename(three.folder.parent / "away")
    assert undo_edit(three.folder, three.places).restored == 0
    concept.rename(three.folder / "1_a")
    assert undo_edit(three.folder, three.places).restored == 3


def test_undo_after_a_crash_in_the_middle(three: Desk, monkeypatch: pytest.MonkeyPatch):
    written = []

    def write_one(image: Path, *rest: object, **flags: object) -> None:
        if written:
            raise OSError(28, "No space left on device")
        written.append(image)
        image.with_suffix(".txt").write_text("x, 1girl, hat")

    with monkeypatch.context() as patched:
        patched.setattr("trainer_core.dataset.bulk.write_caption_file", write_one)
        with pytest.raises(OSError):
            do(three, "prefix", "x")
    done = undo_edit(three.folder, three.places)
    assert done.kept == 0 and texts(three.folder) == {"a": "1girl, hat", "b": "sks, 1boy"}


def test_pictures_that_share_a_caption(desk: Desk):
    put(desk.folder / "a.png", "hat")
    put(desk.folder / "a.jpg")
    assert do(desk, "append", "x") == 2 and texts(desk.folder) == {"a": "hat, x"}
    assert undo_edit(desk.folder, desk.places).restored == 2 and texts(desk.folder) == {"a": "hat"}


def test_captions_in_other_encodings_and_xml_are_left_alone_and_said(desk: Desk):
    put(desk.folder / "a.png").with_suffix(".txt").write_bytes(b"caf\xe9")
    put(desk.folder / "b.png", "<caption>A hat.</caption>")
    plan = plan_edit(desk.look().pictures, checked_edit("append", "x"))
    assert plan.left_alone == {"encoding": 1, "xml": 1} and not plan.changes


def test_a_caption_that_would_grow_too_long_stops_the_plan(desk: Desk):
    put(desk.folder / "a.png", "ab" * 1000)
    with pytest.raises(UserError) as caught:
        plan_edit(desk.look().pictures, checked_edit("replace", "a", "x" * 1000 + "a" * 0))
        plan_edit(desk.look().pictures, checked_edit("regex", "[ab]", "x" * 1000))
    assert caught.value.code == "caption_too_long"


def test_nothing_to_undo(desk: Desk):
    with pytest.raises(UserError) as caught:
        undo_edit(desk.folder, desk.places)
    assert caught.value.code == "undo_missing"


def test_an_edit_without_effect_keeps_the_last_undo(three: Desk):
    do(three, "append", "x")
    assert do(three, "replace", "not there", "y") == 0
    kept = last_edit(three.places)
    assert kept and kept.kind == "append"
