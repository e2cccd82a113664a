"""The large view and bulk edits: what is saved, when, and what is shown then."""

import os
import shutil
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from dataset_page import Page

from newbie_gui.pages.dataset.layout import place
from newbie_gui.pages.dataset.tab import _Tab
from trainer_core.contracts.errors import UserError

# Without a browser a toast is one of Python's warnings.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

THREE: dict[str, str | None] = {"1_a/a.png": "1girl, hat", "1_a/b.png": None, "1_a/c.png": "1boy"}


@pytest.fixture
def page(tmp_path: Path) -> Page:
    page = Page(tmp_path)
    page.fill("cats", THREE)
    return page


def caption(page: Page, name: str) -> str:
    return (page.workspace.datasets / f"cats/1_a/{name}.txt").read_text(encoding="utf-8")


def test_opening_shows_the_picture_its_caption_and_its_frame(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    assert page.shown("editor__caption") == "1girl, hat"
    html = page.shown("editor__picture")
    assert "-large.webp" in html and "ds-frame" in html and "1 of 3" in page.shown("editor__facts")
    assert 'aria-current="true"' in page.shown("browse__grid")


def test_a_picture_opens_although_its_tokens_cannot_be_counted(page: Page, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> None:
        raise UserError("disk_full", "The disk is full.")

    monkeypatch.setattr(page.store, "ensure_tokens", full)
    page.do(page.editing.open, "1_a/a.png")
    assert page.shown("editor__caption") == "1girl, hat"


def test_going_on_saves_what_was_typed(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    page.do(page.editing.turn(1), editor__caption="1girl, cap\r\n")
    assert caption(page, "a") == "1girl, cap" and page.shown("editor__chosen") == "1_a/b.png"
    page.do(page.editing.turn(1), editor__caption="")
    assert not (page.workspace.datasets / "cats/1_a/b.txt").exists(), "an untouched picture gets no empty file"
    page.do(page.editing.turn(1))
    assert page.shown("editor__chosen") == "1_a/c.png" and "last" in page.shown("editor__said")


def test_going_on_works_where_saving_takes_the_picture_out_of_the_filter(page: Page):
    page.fill("dogs", {"x.png": None, "y.png": None, "z.png": None})
    page.do(page.editing.open, "y.png", browse__show="no_caption")
    page.do(page.editing.turn(1), editor__caption="dog")
    assert page.shown("editor__chosen") == "z.png" and "2 of 3" in page.shown("browse__count")


def test_a_caption_changed_elsewhere_is_not_overwritten_unasked(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    file = page.workspace.datasets / "cats/1_a/a.txt"
    file.write_text("by <someone> else")
    ways = (page.editing.save, page.editing.close, page.editing.turn(1))
    for handler in (*ways, lambda values: page.editing.open(values, "1_a/a.png")):
        updates = page.do(handler, editor__caption="mine")
        assert updates[page.parts.editor.unsaved.box]["visible"] and page.shown("editor__caption") == "mine"
        assert updates[page.parts.editor.unsaved.keep]["visible"]
    assert caption(page, "a") == "by <someone> else" and "by &lt;someone&gt; else" in page.shown(
        "editor__unsaved__text"
    )
    page.do(page.editing.keep)
    assert caption(page, "a") == "mine" == page.shown("editor__loaded")
    file.write_text("once more")
    page.do(page.editing.close, editor__caption="mine again")
    updates = page.do(page.editing.drop)
    assert page.shown("editor__caption") == "once more" == caption(page, "a")
    assert not updates[page.parts.editor.unsaved.box]["visible"]


def test_a_caption_that_is_left_is_saved_and_may_be_changed_back(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    for text in ("mine", "mine too", "1girl, hat"):
        updates = page.do(page.editing.left, editor__caption=text)
        assert caption(page, "a") == text and set(updates) == {page.parts.editor.kept}
    assert page.do(page.editing.left, editor__caption=" 1girl, hat\n") == gr.skip(), "nothing was changed"
    (page.workspace.datasets / "cats/1_a/a.txt").write_text("by someone else")
    updates = page.do(page.editing.left, editor__caption="mine")
    assert updates[page.parts.editor.unsaved.box]["visible"] and caption(page, "a") == "by someone else"
    page.do(page.editing.keep)
    assert caption(page, "a") == "mine" and not page.shown("editor__kept")


def test_the_answer_about_a_caption_that_was_left_may_come_late(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    page.values[page.parts.editor.caption] = "mine"
    late = page.editing.left(page.values)
    page.do(page.editing.turn(2))
    page.values.update(late)
    page.do(page.editing.close, editor__caption="1boy, too")
    assert caption(page, "a") == "mine" and caption(page, "c") == "1boy, too"
    assert page.shown("editor__chosen") == "" and page.editing.left(page.values) == gr.skip()


def test_what_was_typed_is_saved_before_another_data_set_is_shown(page: Page):
    page.fill("dogs", THREE)
    choose = _Tab(page.ui, page.parts)._chosen
    page.do(choose, dataset="cats")
    page.do(page.editing.open, "1_a/a.png")
    page.do(choose, dataset="dogs", editor__caption="mine")
    assert caption(page, "a") == "mine" and page.shown("shown") == "dogs" and page.shown("editor__caption") == ""
    assert (page.workspace.datasets / "dogs/1_a/a.txt").read_text() == "1girl, hat"


def test_every_way_to_another_data_set_saves_first(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    typed = {component.elem_id: value for component, value in page.values.items()}
    with gr.Blocks() as blocks:
        parts = place(page.ui, ())
        _Tab(page.ui, parts).wire()
    manage = parts.manage
    for button in (manage.create, manage.point, manage.rename, manage.sure.yes, manage.forget, manage.change):
        wired: Any = next(fn for fn in blocks.fns.values() if (button._id, "click") in fn.targets)
        values = {component: typed[component.elem_id] for component in wired.inputs}
        loaded, text = caption(page, "a"), str(button.elem_id)
        wired.fn({**values, parts.editor.loaded: loaded, parts.editor.caption: text})
        assert caption(page, "a") == text


def test_another_data_set_waits_while_what_was_typed_cannot_be_saved(page: Page):
    page.fill("dogs", THREE)
    choose = _Tab(page.ui, page.parts)._chosen
    page.do(page.editing.open, "1_a/b.png")
    (page.workspace.datasets / "dogs/1_a/b.txt").write_text("by someone else")
    page.do(choose, dataset="cats", editor__caption="mine")
    assert page.shown("dataset") == "dogs" and page.shown("editor__caption") == "mine"
    page.store.library.rename("dogs", "cows")
    page.do(choose, dataset="cats")
    assert page.shown("dataset") == "dogs" and page.shown("editor__caption") == "mine"
    page.do(page.editing.drop)
    page.do(choose, dataset="cats")
    assert page.shown("shown") == "cats" and page.shown("editor__chosen") == ""


def test_choosing_what_is_shown_leaves_filters_and_the_open_picture(page: Page):
    page.do(page.editing.open, "1_a/a.png", browse__tag="1girl")
    shutil.copy(page.workspace.datasets / "cats/1_a/a.png", page.workspace.datasets / "cats/1_a/new.png")
    choose = _Tab(page.ui, page.parts)._chosen
    assert choose({**page.values, page.parts.editor.caption: "typed"}) == gr.skip()
    assert page.jobs("index"), "new pictures are looked at all the same"


def test_what_was_typed_for_a_picture_that_is_gone_is_asked_about_too(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    (page.workspace.datasets / "cats/1_a/a.png").unlink()
    updates = page.do(page.editing.turn(1), editor__caption="mine")
    assert not updates[page.parts.editor.unsaved.keep]["visible"]
    assert page.shown("editor__caption") == "mine" and "not a picture" in page.shown("editor__unsaved__text")
    page.do(page.editing.drop)
    assert page.shown("editor__chosen") == "" and page.do(page.editing.open, "1_a/c.png")


def test_what_was_saved_before_something_failed_counts_as_read(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    page.do(page.editing.leave, page.editing.apply, bulk__kind="regex", bulk__text="(", editor__caption="first")
    assert caption(page, "a") == "first" == page.shown("editor__caption")
    page.do(page.editing.close, editor__caption="second")
    assert caption(page, "a") == "second" and page.shown("editor__chosen") == ""


def test_other_line_breaks_are_no_change(page: Page):
    file = page.workspace.datasets / "cats/1_a/a.txt"
    file.write_bytes(raw := b"one\r\ntwo")
    page.do(page.editing.open, "1_a/a.png")
    page.do(page.editing.close, editor__caption="one\ntwo")
    assert file.read_bytes() == raw


def test_a_caption_in_another_encoding_becomes_utf_8_by_saving(page: Page):
    (page.workspace.datasets / "cats/1_a/a.txt").write_bytes("猫, 少女".encode("gbk"))
    page.do(page.editing.open, "1_a/a.png")
    assert page.shown("editor__caption") == "猫, 少女" and "not UTF-8" in page.shown("editor__picture")
    page.do(page.editing.save)
    assert caption(page, "a") == "猫, 少女"


def test_a_caption_in_another_encoding_is_not_touched_in_passing(page: Page):
    file = page.workspace.datasets / "cats/1_a/a.txt"
    file.write_bytes(raw := "猫耳の女の子, 笑顔".encode("cp932"))
    page.do(page.editing.open, "1_a/a.png")
    assert page.shown("editor__caption") == "猫耳の女の子, 笑顔"
    page.do(page.editing.leave, page.editing.apply, bulk__kind="append", bulk__text="x")
    for step in (-1, 1, -1):
        page.do(page.editing.turn(step))
    page.do(page.editing.close)
    assert file.read_bytes() == raw
    page.do(page.editing.open, "1_a/a.png")
    page.do(page.editing.turn(1, rewrite=True))
    assert caption(page, "a") == "猫耳の女の子, 笑顔"


@pytest.mark.parametrize("relative", ["../../x.png", "/etc/passwd", "none.png", ""])
def test_only_pictures_of_the_data_set_can_be_opened(page: Page, relative: str):
    with pytest.raises(UserError) as caught:
        page.do(page.editing.open, relative)
    assert caught.value.code == "image_missing"


def test_a_deleted_picture_goes_to_the_trash_and_the_next_one_opens(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    page.do(page.editing.delete)
    assert page.shown("editor__chosen") == "1_a/b.png" and "2 of 2" in page.shown("browse__count")
    (place,) = page.workspace.trash.iterdir()
    assert sorted(os.listdir(place)) == ["a.png", "a.txt"]


def test_a_picture_of_a_folder_elsewhere_is_not_asked_about(page: Page, tmp_path: Path):
    (tmp_path / "outside").mkdir()
    page.do(page.manager.point, manage__folder=str(tmp_path / "outside"))
    with pytest.raises(UserError) as caught:
        page.do(page.editing.ask)
    assert caught.value.code == "dataset_external"


def test_an_edit_of_many_is_shown_done_and_undone_for_the_filtered_only(page: Page):
    typed = {"bulk__kind": "prefix", "bulk__text": "sks", "browse__tag": "1girl"}
    page.do(page.editing.preview, **typed)
    assert "Captions that would change: 1 of 1" in page.shown("bulk__view") and "sks, 1girl, hat" in page.shown(
        "bulk__view"
    )
    page.do(page.editing.apply)
    assert (caption(page, "a"), caption(page, "c")) == ("sks, 1girl, hat", "1boy")
    assert "trigger word" in page.shown("bulk__undo")
    page.do(page.editing.undo)
    assert caption(page, "a") == "1girl, hat" and page.shown("bulk__undo") == "Nothing to undo"


def test_an_open_caption_follows_the_edit_of_many(page: Page):
    page.do(page.editing.open, "1_a/a.png")
    typed = {"bulk__kind": "append", "bulk__text": "x", "editor__caption": "typed, not saved yet"}
    page.do(page.editing.leave, page.editing.apply, **typed)
    assert page.shown("editor__caption") == "typed, not saved yet, x" == caption(page, "a")


@pytest.mark.parametrize(("kind", "visible"), [("sort", (False, False, False)), ("regex", (True, True, True))])
def test_fields_fit_the_kind_of_edit(page: Page, kind: str, visible: tuple[bool, ...]):
    updates = page.editing.fields(kind)
    bulk = page.parts.bulk
    assert tuple(updates[one]["visible"] for one in (bulk.text, bulk.new, bulk.match_case)) == visible


def test_texts_of_people_are_shown_as_text(page: Page):
    evil = "<img src=x onerror=alert(1)>"
    page.fill("evil", {f"1_x/{evil.replace('/', '')}.png": evil, "b.png": f"{evil}, tag"})
    page.do(page.editing.open, "b.png")
    page.do(page.editing.preview, bulk__kind="append", bulk__text=evil + "!")
    parts = ("browse__grid", "facts__tags", "facts__health", "editor__picture", "bulk__view", "status")
    assert all("<img src=x" not in page.shown(name) for name in parts)
    assert "&lt;img src=x" in page.shown("browse__grid") and "&lt;img src=x" in page.shown("bulk__view")
