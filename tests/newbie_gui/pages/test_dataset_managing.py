"""Data sets, concepts and uploads through the page's handlers."""

import io
import json
import zipfile
from pathlib import Path

import gradio as gr
import pytest
from dataset_page import Page
from PIL import Image

from newbie_gui.disk_use import clean
from newbie_gui.pages.dataset.layout import place
from newbie_gui.pages.dataset.tab import _Tab
from trainer_core.contracts.config import parse_config, to_toml
from trainer_core.contracts.errors import UserError
from trainer_core.dataset.importing import run
from trainer_core.dataset.index_file import IndexPlaces
from trainer_core.dataset.indexing import update_index
from trainer_core.planning.demo import demo_values


@pytest.fixture
def page(tmp_path: Path) -> Page:
    return Page(tmp_path)


def upload(page: Page, name: str, data: bytes) -> str:
    file = page.workspace.uploads / "abc" / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    return str(file)


def code_of(page: Page, handler, **typed) -> str:
    with pytest.raises(UserError) as caught:
        page.do(handler, **typed)
    return caught.value.code


def test_a_new_data_set_has_a_concept_and_is_remembered(page: Page):
    page.do(page.manager.create, manage__name="猫", manage__repeats=10)
    assert (page.workspace.datasets / "猫/10_猫").is_dir()
    assert page.shown("dataset") == "猫" == Page(page.workspace.root.parent).show.remembered()
    assert page.shown("upload__target") == "10_猫" and "no pictures" in page.shown("browse__grid")


def test_a_name_too_long_for_its_concept_makes_nothing(page: Page):
    with pytest.raises(UserError, match="'x{119}' is too long for a folder that begins with 10_"):
        page.do(page.manager.create, manage__name="x" * 119, manage__repeats=10)
    assert code_of(page, page.manager.create, manage__name="cats", manage__repeats=20_000) == "repeats_invalid"
    assert not page.store.library.list()


def test_uploads_without_a_data_set_make_one(page: Page):
    files = [upload(page, "a.png", b"x"), upload(page, "a.txt", b"tag")]
    page.do(page.manager.take, upload__files=files)
    (job,) = page.jobs("import")
    assert page.shown("dataset") == "my pictures" and job.spec["concept"] == "1_my pictures"
    assert job.resources == ("files:my pictures",) and "Taking in pictures" in page.shown("status")
    assert page.values[page.parts.upload.files] is None
    result = run(job.spec, page.context())
    assert (result["added"], result["refused"]) == (0, 1)


def test_no_concept_that_nobody_made_stays_empty_beside_those_of_a_zip(page: Page):
    picture, packed = io.BytesIO(), io.BytesIO()
    Image.effect_noise((8, 8), 90).save(picture, "PNG")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("10_anna/a.png", picture.getvalue())
    page.do(page.manager.take, upload__files=[upload(page, "anna.zip", packed.getvalue())])
    page.do(page.manager.add_concept, manage__label="later")
    # Asked for before the first one has run.
    Image.effect_noise((9, 9), 90).save(page.workspace.uploads / "b.png")
    page.do(page.manager.take, upload__files=[str(page.workspace.uploads / "b.png")], upload__target="1_my pictures")
    zipped, loose = sorted(page.jobs("import"), key=lambda job: "b.png" in str(job.spec["files"]))

    def folders() -> list[str]:
        return [concept.folder for concept in page.store.library.concepts("my pictures")]

    assert run(zipped.spec, page.context())["added"] == 1
    assert folders() == ["10_anna", "1_later"]
    assert run(loose.spec, page.context())["added"] == 1
    assert folders() == ["10_anna", "1_later", "1_my pictures"]


def test_an_upload_goes_where_it_was_to_go_when_it_began(page: Page, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gradio.Info", lambda _: None)
    for name in ("cats", "dogs"):
        page.do(page.manager.create, manage__name=name, manage__repeats=1)
    files = [upload(page, "a.png", b"x")]
    page.do(page.manager.take, upload__files=files, upload__into="cats", upload__concept="1_cats")
    page.do(page.manager.take, upload__files=files)
    goals = [(Path(str(job.spec["folder"])).name, job.spec["concept"]) for job in page.jobs("import")]
    assert sorted(goals) == [("cats", "1_cats"), ("dogs", "1_dogs")] and page.shown("dataset") == "dogs"


def test_only_uploaded_files_are_taken(page: Page, tmp_path: Path):
    assert code_of(page, page.manager.take, upload__files=[str(tmp_path / "x.png")]) == "upload_missing"
    assert code_of(page, page.manager.take, upload__files=[f"{page.workspace.uploads}/../x"]) == "upload_missing"
    assert not page.jobs("import") and not page.store.library.list()


def test_nothing_uploaded_is_nothing_to_do(page: Page):
    page.do(page.manager.take)
    assert not page.jobs("import")


def test_deleting_asks_first(page: Page):
    page.do(page.manager.create, manage__name="cats")
    page.do(page.manager.ask("dataset"))
    assert "cats" in page.shown("manage__sure__text") and (page.workspace.datasets / "cats").is_dir()
    page.do(page.manager.agreed)
    assert not (page.workspace.datasets / "cats").exists() and page.shown("dataset") == "None"


def test_the_answer_is_about_what_was_asked(page: Page):
    for name in ("one", "two"):
        page.do(page.manager.create, manage__name=name)
    page.do(page.manager.ask("dataset"), dataset="one")
    page.do(page.manager.agreed, dataset="two")
    assert not (page.workspace.datasets / "one").exists() and (page.workspace.datasets / "two").is_dir()
    page.do(page.manager.add_concept, manage__label="more")
    page.do(page.manager.ask("concept"), manage__concept="1_two")
    page.do(page.manager.agreed, manage__concept="1_more")
    assert [concept.folder for concept in page.store.library.concepts("two")] == ["1_more"]


def test_another_choice_takes_the_question_back(page: Page):
    page.fill("cats", {"1_a/a.png": "tag", "2_b/b.png": "tag"})
    page.do(page.manager.ask("concept"), manage__concept="1_a")
    page.do(page.manager.picked_concept)
    assert page.shown("manage__asked") == "cats/1_a", "leaving the list is no other choice"
    page.do(page.manager.picked_concept, manage__concept="2_b")
    assert page.shown("manage__asked") == "" and not page.do(page.manager.agreed)[page.parts.manage.sure.box]["visible"]
    page.do(page.manager.ask("dataset"))
    page.fill("dogs", {})
    assert page.shown("manage__asked") == ""
    page.do(page.manager.agreed)
    assert [info.name for info in page.store.library.list()] == ["cats", "dogs"]


def test_a_data_set_is_at_work_while_its_fit_is_checked(page: Page):
    page.fill("cats", {})
    info = page.store.library.get("cats")
    places = {"base_model_path": "b", "train_data_dir": str(info.path), "output_dir": str(page.workspace.output)}
    settings = to_toml(parse_config({**demo_values(), **places}))
    page.store.require_idle(info)
    page.store.queue.add("fit", "t", {"cards": 1}, resources=("cpu",), files={"config.toml": settings})
    assert code_of(page, page.manager.rename, manage__new_name="new") == "dataset_in_use"


def test_a_data_set_at_work_is_neither_renamed_nor_deleted(page: Page):
    page.do(page.manager.create, manage__name="cats")
    page.do(page.manager.ask("dataset"))
    page.do(page.manager.take, upload__files=[upload(page, "a.png", b"x")])
    assert code_of(page, page.manager.rename, manage__new_name="new") == "dataset_in_use"
    assert code_of(page, page.manager.agreed) == "dataset_in_use"


@pytest.mark.parametrize("what", ["dataset", "concept"])
def test_what_cannot_be_deleted_is_said_before_anything_is_asked(page: Page, tmp_path: Path, what: str):
    (tmp_path / "outside/1_a").mkdir(parents=True)
    page.do(page.manager.point, manage__folder=str(tmp_path / "outside"))
    assert code_of(page, page.manager.ask(what)) == "dataset_external"
    page.do(page.manager.create, manage__name="cats")
    assert code_of(page, page.manager.ask("concept"), manage__concept="2_none") == "concept_missing"
    page.do(page.manager.take, upload__files=[upload(page, "a.png", b"x")], upload__target="1_cats")
    assert code_of(page, page.manager.ask(what), manage__concept="1_cats") == "dataset_in_use"


def test_renaming_keeps_thumbnails_and_undo(page: Page):
    page.fill("cats", {"1_a/a.png": "tag"})
    page.do(page.editing.apply, bulk__kind="append", bulk__text="x")
    page.do(page.manager.rename, manage__new_name="dogs")
    assert page.shown("dataset") == "dogs" and "Append" in page.shown("bulk__undo")
    assert page.store.current("dogs").view.snapshot.pending == 0 and not page.jobs("index")


def test_other_repeats_rename_the_folder_and_need_no_new_look(page: Page):
    page.fill("cats", {"1_a/a.png": "tag"})
    page.do(page.manager.change_concept, manage__concept="1_a", manage__label="猫", manage__concept_repeats=5)
    assert (page.workspace.datasets / "cats/5_猫/a.png").is_file()
    assert page.shown("manage__concept") == "5_猫" and not page.jobs("index")
    assert "5 pictures, repeats counted" in page.shown("facts__health")


def test_an_edit_can_be_undone_after_its_concept_was_renamed(page: Page):
    folder = page.fill("cats", {"1_a/a.png": "tag", "1_a/sub/b.png": "tag", "11_a/c.png": "tag"})
    page.do(page.editing.apply, bulk__kind="append", bulk__text="x")
    page.do(page.manager.change_concept, manage__concept="1_a", manage__label="b", manage__concept_repeats=5)
    page.do(page.editing.undo)
    texts = {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*.txt")}
    assert texts == dict.fromkeys(("5_b/a.txt", "5_b/sub/b.txt", "11_a/c.txt"), "tag")


@pytest.mark.parametrize("repeats", [None, 1.5, 0, -3, "many"])
def test_repeats_are_checked(page: Page, repeats: object):
    assert code_of(page, page.manager.create, manage__name="cats", manage__repeats=repeats) == "repeats_invalid"


def test_repeats_beyond_the_range_reach_our_own_check(page: Page):
    for field in (page.parts.manage.repeats, page.parts.manage.concept_repeats):
        assert [field.preprocess(typed) for typed in (0, 20_000)] == [0, 20_000]


def test_a_folder_elsewhere_is_looked_at_once(page: Page, tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a.png").write_bytes(b"x")
    page.do(page.manager.point, manage__folder=str(outside))
    page.manager.index("outside")
    assert page.shown("dataset") == "outside" and len(page.jobs("index")) == 1
    page.do(page.manager.forget)
    assert (outside / "a.png").is_file() and page.shown("dataset") == "None"


def test_what_was_looked_at_is_looked_at_again_when_it_has_to_be(page: Page):
    folder = page.fill("cats", {"1_a/a.png": "tag", "1_a/b.png": "tag"})

    def asked(*, opened: bool = False) -> bool:
        return page.store.ensure_index(page.store.current("cats"), "t", opened=opened)

    def ended(*, done: bool) -> None:
        page.store.queue.cancel(page.jobs("index")[0].id)
        if done:
            update_index(folder, IndexPlaces(page.workspace, folder), page.context())
            assert not asked()

    for size in (70, 80):
        Image.effect_noise((size, 64), 90).save(folder / "1_a/a.png")
        assert asked()
        ended(done=True)
    clean(page.workspace, "thumbnails")
    assert asked()
    ended(done=False)
    assert not asked() and asked(opened=True)


def test_a_picture_that_cannot_be_read_makes_no_jobs_by_itself(page: Page, monkeypatch: pytest.MonkeyPatch):
    folder = page.fill("cats", {"1_a/a.png": "tag"})
    clean(page.workspace, "thumbnails")
    page.manager.index("cats")
    page.store.queue.cancel(page.jobs("index")[0].id)
    monkeypatch.setattr("trainer_core.dataset.indexing.hash_of", _refused)
    update_index(folder, IndexPlaces(page.workspace, folder), page.context())
    assert not page.store.ensure_index(page.store.current("cats"), "t")


def _refused(path: Path) -> str:
    raise PermissionError(13, "Permission denied")


def test_lists_are_told_anew_and_leave_what_is_chosen(page: Page):
    """Of what is gone, any may be chosen somewhere."""
    page.fill("cats", {"1_a/a.png": "tag", "2_b/b.png": "tag"})

    def told() -> dict[str, list[str]]:
        updates = page.do(lambda values: page.show.lists(page.store.current("cats"), values))
        assert all("value" not in update for update in updates.values() if isinstance(update, dict))
        names = ("dataset", "manage__concept", "upload__target", "browse__folder")
        return {n: [value for _, value in updates[page.part(n)]["choices"]] for n in names if page.part(n) in updates}

    assert not told()
    page.store.library.create("demo")
    folder = page.workspace.datasets / "cats"
    (folder / "3_c").mkdir()
    (folder / "1_a/a.png").rename(folder / "3_c/a.png")
    (folder / "2_b").rename(page.workspace.root / "away")
    assert told() == {
        "dataset": ["cats", "demo"],
        "manage__concept": ["1_a", "3_c", "2_b"],
        "upload__target": ["1_a", "3_c", "", "2_b"],
        "browse__folder": ["*", "3_c", "1_a", "2_b"],
    }
    assert not told()


def test_a_page_without_a_data_set_hears_of_a_new_one(page: Page):
    page.do(lambda _: page.show.dataset(""))
    assert not page.show.lists(None, page.values)
    page.store.library.create("demo")
    assert page.show.lists(None, page.values)[page.parts.dataset]["choices"] == [("demo", "demo")]


def test_a_tick_is_no_error_while_a_data_set_is_renamed(page: Page):
    with gr.Blocks() as blocks:
        parts = place(page.ui, ())
        _Tab(page.ui, parts).wire()
    ticks = [fn for fn in blocks.fns.values() if any(event == "tick" for _, event in fn.targets)]
    assert ticks and not any(parts.dataset in fn.inputs for fn in ticks)


def test_where_there_are_pictures_they_stand_at_the_top(page: Page):
    page.store.library.create("new")
    add = page.parts.add_box
    assert page.do(lambda _: page.show.dataset("new"))[add]["open"]
    page.fill("cats", {"1_a/a.png": "tag"})
    assert not page.do(lambda _: page.show.dataset("cats"))[add]["open"]


def test_advice_goes_with_the_number_of_pictures(page: Page):
    page.fill("cats", {"1_a/a.png": "tag"})
    values = json.loads(page.shown("facts__values"))
    assert values["lora_rank"] == 16 and values["num_epochs"] == 100
    assert "fewer than 100" in page.shown("facts__health")


def test_before_anything_is_typed_the_settings_are_those_that_the_form_begins_with(page: Page):
    page.store._starting = lambda: {"resolution": 128, "train_batch_size": 4, "base_model_path": "base"}
    page.fill("cats", {"1_a/a.png": "tag"})
    assert "at resolution 128" in page.shown("facts__health") and "batch size 4" in page.shown("facts__health")
    assert page.store.current("cats").wanted.has_base and "All files can be read" in page.shown("facts__health")


def test_the_draft_of_the_settings_decides_the_buckets(page: Page):
    (page.workspace.private / "draft.json").write_text(json.dumps({"resolution": 64, "bucket_reso_step": "nonsense"}))
    page.fill("cats", {"1_a/a.png": "tag"})
    assert "at resolution 64" in page.shown("facts__health") and "64 × 64" in page.shown("facts__health")
