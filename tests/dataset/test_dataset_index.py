import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dataset_desk import Desk
from picture_files import bomb, put
from PIL import Image

from trainer_core.contracts.errors import UserError
from trainer_core.dataset import dataset_index
from trainer_core.dataset.buckets import BucketPlan
from trainer_core.dataset.dataset_index import DatasetIndex
from trainer_core.dataset.filters import Filter, select, view_of
from trainer_core.dataset.index_file import IndexPlaces, read_index
from trainer_core.dataset.indexing import run, update_index


def test_a_data_set_is_shown_before_and_after_it_was_looked_at(desk: Desk):
    put(desk.folder / "10_a/猫.png", "1girl, hat", size=(300, 200))
    put(desk.folder / "b.png")
    before = desk.look()
    assert before.pending == 2 and [p.relative for p in before.pictures] == ["10_a/猫.png", "b.png"]
    cat = desk.index().pictures[0]
    assert (cat.folder, cat.repeats, cat.tags, cat.caption.text) == ("10_a", 10, ("1girl", "hat"), "1girl, hat")
    assert cat.record and (cat.record.width, cat.record.height) == (300, 200)
    with Image.open(desk.places.thumbnail(cat.record.key)) as small:
        assert small.size == (256, 171)
    assert desk.places.preview(cat.record.key).is_file()


def test_pictures_are_shown_as_a_person_counts_them(desk: Desk):
    for name in ("img_10.png", "Img_2.png", "img_1.png", "10_a/x.png", "2_b/x.png"):
        put(desk.folder / name)
    shown = [p.relative for p in desk.look().pictures]
    assert shown == ["2_b/x.png", "10_a/x.png", "img_1.png", "Img_2.png", "img_10.png"]


def test_the_job_counts_pictures_and_problems(desk: Desk):
    put(desk.folder / "a.png")
    (desk.folder / "b.png").write_bytes(bomb(9000, 9000))
    (desk.folder / "c.png").write_bytes(put(desk.folder / "a.png", size=(90, 90)).read_bytes()[:100])
    spec = {"workspace": str(desk.workspace.root), "folder": str(desk.folder)}
    assert run(spec, desk.job) == {"pictures": 3, "problems": 2}
    kinds = {p.name: p.record.problem for p in desk.look().pictures if p.record}
    assert kinds == {"a.png": "", "b.png": "too_large", "c.png": "truncated"}
    assert [p.usable for p in desk.look().pictures] == [True, False, False]


def test_only_new_and_changed_pictures_are_decoded_again(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    for name in ("a.png", "b.png", "10_x/c.png"):
        put(desk.folder / name)
    desk.index()
    put(desk.folder / "b.png", size=(20, 20))
    os.rename(desk.folder / "10_x", desk.folder / "5_x")
    looked: list[str] = []
    monkeypatch.setattr("trainer_core.dataset.indexing.load_rgb", lambda p: looked.append(p.name) or Image.open(p))
    assert desk.look().pending == 1
    assert set(update_index(desk.folder, desk.places, desk.job)) == {"a.png", "b.png", "5_x/c.png"}
    assert looked == ["b.png"]


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps no time of a file's entry")
def test_pictures_of_one_size_and_time_that_change_names_are_not_shown_for_each_other(desk: Desk):
    for name, colour in (("a.bmp", "red"), ("b.bmp", "blue")):
        put(desk.folder / name)
        Image.new("RGB", (8, 8), colour).save(desk.folder / name)
        os.utime(desk.folder / name, ns=(1, 1))
    before = {p.relative: p.record.key for p in desk.index().pictures if p.record}
    for old, new in (("a.bmp", "kept"), ("b.bmp", "a.bmp"), ("kept", "b.bmp")):
        os.rename(desk.folder / old, desk.folder / new)
    assert desk.look().pending == 2
    after = {p.relative: p.record.key for p in desk.index().pictures if p.record}
    assert after == {"a.bmp": before["b.bmp"], "b.bmp": before["a.bmp"]}


def test_lost_small_pictures_are_made_again(desk: Desk):
    put(desk.folder / "a.png")
    record = desk.index().pictures[0].record
    assert record is not None
    desk.places.thumbnail(record.key).unlink()
    desk.index()
    assert desk.places.thumbnail(record.key).is_file()


def test_a_stop_keeps_what_was_found(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    for number in range(3):
        put(desk.folder / f"{number}.png")

    def stop_at_two(phase: str, done: int, total: int) -> None:
        if done == 2:
            raise InterruptedError

    monkeypatch.setattr(desk.job, "progress", stop_at_two)
    with pytest.raises(InterruptedError):
        update_index(desk.folder, desk.places, desk.job)
    assert desk.look().pending == 1


def edit_caption(folder: Path) -> None:
    (folder / "a.txt").write_text("newer")


def add_picture(folder: Path) -> None:
    put(folder / "deep/er.png")


def remove_caption(folder: Path) -> None:
    (folder / "a.txt").unlink()


@pytest.mark.parametrize("change", [edit_caption, add_picture, remove_caption])
def test_changes_by_others_are_seen_and_nothing_else_costs(desk: Desk, change: Callable[[Path], None]):
    put(desk.folder / "a.png", "tag")
    index = DatasetIndex(desk.folder, desk.places)
    first = index.snapshot()
    assert index.snapshot() is first
    change(desk.folder)
    assert index.snapshot().number == first.number + 1


def test_captions_that_are_no_utf_8_are_shown_as_such(desk: Desk):
    put(desk.folder / "a.png").with_suffix(".txt").write_bytes("猫, 少女".encode("gbk"))
    put(desk.folder / "b.png").with_suffix(".txt").write_bytes("\ufeff猫".encode())
    a, b = desk.index().pictures
    assert (a.caption.state, a.caption.text, a.usable) == ("encoding", "猫, 少女", False)
    assert (b.caption.state, b.caption.text, b.caption.mark, b.usable) == ("ok", "猫", True, True)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"version": 1}', b'{"version": 1, "pictures": {"a": {"x": 1}}}'])
def test_a_damaged_index_is_made_anew(desk: Desk, content: bytes):
    put(desk.folder / "a.png")
    desk.places.index.write_bytes(content)
    assert desk.look().pending == 1 and desk.index().pending == 0


def test_the_index_follows_a_renamed_data_set(desk: Desk):
    put(desk.folder / "a.png")
    desk.index()
    renamed = desk.folder.rename(desk.folder.with_name("dogs"))
    new = IndexPlaces(desk.workspace, renamed)
    desk.places.follow(new)
    assert DatasetIndex(renamed, new).snapshot().pending == 0 and not read_index(desk.places.index)


def test_too_many_files_are_refused(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(dataset_index, "MAX_FILES", 2)
    for name in ("a.png", "b.png", "c.png"):
        put(desk.folder / name)
    with pytest.raises(UserError) as caught:
        desk.look()
    assert caught.value.code == "dataset_too_large"


def test_five_thousand_pictures(desk: Desk, record_figure: Callable[[str, float], None]):
    """Real files; the same few pictures linked under many names, so that making them does not take the time."""
    for kind in range(4):
        Image.effect_noise((64 + 16 * kind, 64), 90).save(desk.workspace.root / f"{kind}.png")
    for number in range(5000):
        target = desk.folder / f"{number % 5 + 1}_c{number % 5}/p{number:04}.png"
        target.parent.mkdir(exist_ok=True)
        os.link(desk.workspace.root / f"{number % 4}.png", target)
        target.with_suffix(".txt").write_text(f"1girl, solo, long hair, tag{number % 50}, number {number}")
    update_index(desk.folder, desk.places, desk.job)
    index, plan = DatasetIndex(desk.folder, desk.places), BucketPlan(64, step=16, smallest=32, largest=128)
    # Processor time: what a busy machine adds says nothing. The disk's part is in it, files being in memory.
    start = time.process_time()
    view = view_of(index.snapshot(), plan)
    opened = time.process_time() - start
    assert view.snapshot.pending == 0 and view.snapshot.tag_counts[0] == ("1girl", 5000)
    start = time.process_time()
    found = select(view_of(index.snapshot(), plan), Filter(tag="TAG7", search="number 1"))
    filtered = time.process_time() - start
    assert len(select(view, Filter(show="duplicates"))) == 5000 and len(view.snapshot.groups) == 4
    record_figure("5,000 pictures: opened, s", opened)
    record_figure("5,000 pictures: filtered, s", filtered)
    assert found and opened < 2 and filtered < 0.5
