"""Pure parts of the Dataset tab: the crop frame, the end of an import, words in both languages."""

from pathlib import Path
from typing import get_args

import pytest
from dataset_page import Page
from markupsafe import escape

from newbie_gui.pages.dataset.editor_view import crop_frame, render_facts
from newbie_gui.pages.dataset.read_view import render_read
from newbie_gui.pages.dataset.status_view import render_status
from newbie_gui.texts import LANGS, Lang, Texts
from trainer_core.contracts.jobdir import Job
from trainer_core.dataset.caption_edits import Kind
from trainer_core.dataset.filters import Show
from trainer_core.jobs.queue import Entry


@pytest.mark.parametrize(
    ("size", "bucket", "frame"),
    [
        ((100, 100), (64, 64), (0, 0, 100, 100)),
        ((200, 100), (64, 64), (25, 0, 50, 100)),
        ((100, 400), (32, 64), (0, 25, 100, 50)),
        ((30, 20), (48, 32), (0, 0, 100, 100)),
    ],
)
def test_the_frame_is_what_training_keeps(size: tuple[int, int], bucket: tuple[int, int], frame: tuple[float, ...]):
    assert crop_frame(*size, bucket) == pytest.approx(frame)


def test_a_set_without_captions_is_said_and_so_are_files_that_look_like_some(tmp_path: Path):
    page = Page(tmp_path)
    folder = page.fill("cats", {"a.png": None, "b.png": None})
    (folder / "a.caption").write_text("1girl")
    page.do(lambda values: page.show.dataset("cats"))
    health = page.shown("facts__health")
    assert "No picture has a caption." in health and "a.caption</b>: is not read as a caption" in health
    page.fill("dogs", {"a.png": "1girl", "b.png": None})
    assert "No picture has a caption." not in page.shown("facts__health")


@pytest.mark.parametrize(
    ("lang", "told"), [("en", "&lt;/general_tags&gt; stands before the end"), ("zh", "其中还有元素没有结束")]
)
def test_a_mistake_in_xml_is_marked_counted_and_explained(tmp_path: Path, lang: Lang, told: str):
    page = Page(tmp_path, lang)
    page.fill("cats", {"a.png": "<general_tags><style>flat</general_tags>", "b.png": "1girl"})
    page.do(lambda values: page.show.dataset("cats"))
    assert page.ui.t("dataset.health.mistakes") in page.shown("facts__health")
    assert page.shown("browse__grid").count(page.ui.t("dataset.mark.xml")) == 1
    dataset = page.store.current("cats")
    assert told in render_facts(page.ui, dataset, dataset.view.snapshot.by_path["a.png"], "1")


def test_what_the_encoders_read_is_shown_to_the_letter(tmp_path: Path):
    page = Page(tmp_path)
    page.fill("cats", {"a.png": "ann ||| x, y, z<split>Ann <3 & smiles.", "b.png": None})
    page.ui.draft.amend({"keep_tokens_separator": "|||", "enable_wildcard": True, "caption_dropout_rate": 0.25})
    dataset = page.store.current("cats")
    html = render_read(page.ui, dataset, dataset.view.snapshot.by_path["a.png"])
    prompt = dataset.wanted.config.system_prompt_tags
    for text in ("ann, x, y, z", "Ann &lt;3 &amp; smiles."):
        assert f'<span class="muted">{escape(prompt)}</span>{text}</li>' in html
    assert "(2)" in html and "Of 25 % of the pictures, drawn anew each time, Gemma3 reads nothing" in html
    alone = render_read(page.ui, dataset, dataset.view.snapshot.by_path["b.png"])
    assert f'<span class="muted">{escape(prompt)}</span></li>' in alone


def entry(status: str, number: int = 1, **more: object) -> Entry:
    return Entry(job=Job(id=str(number), kind="import", title="t"), status=status, **more)  # type: ignore[arg-type]


def test_what_an_earlier_import_refused_stays_until_it_is_closed(tmp_path: Path):
    ui = Page(tmp_path).ui
    refused = {"added": 1, "refused": 1, "list": [{"name": "x.png", "reason": "broken"}]}
    jobs = [
        entry("finished", 4, result={"added": 40}), entry("finished", 3, result={"added": 30}),
        entry("finished", 2, result=refused), entry("failed", 1, message="The disk is full."),
    ]  # fmt: skip
    html = str(render_status(ui, jobs, ""))
    assert "40 pictures" in html and "30 pictures" not in html and "x.png" in html and "disk is full" in html
    html = str(render_status(ui, jobs, "2"))
    assert "40 pictures" in html and "x.png" not in html and "disk is full" not in html


@pytest.mark.parametrize("lang", LANGS)
def test_the_end_of_an_import_lists_what_was_refused(tmp_path: Path, lang: Lang):
    refused = [
        {"name": "<b>x</b>.png", "reason": "duplicate", "detail": "1_a/<i>y</i>.png"},
        {"name": "y.zip", "reason": "zip_size", "detail": "9.5"},
        {"name": "z", "reason": "something new", "detail": "7"},
    ]
    result = {"added": 3, "captions": 2, "refused": 250, "list": refused}
    html = str(render_status(Page(tmp_path, lang).ui, [entry("finished", result=result)], ""))
    assert "<b>x" not in html and "&lt;b&gt;x" in html and "<i>y" not in html
    assert "9.5" in html and "247" in html and "something new 7" in html


def test_a_failed_import_says_why_until_it_is_closed(tmp_path: Path):
    ui = Page(tmp_path).ui
    failed = entry("failed", code="disk_full", message="The disk is full.", hints=("Free some space.",))
    html = str(render_status(ui, [failed], ""))
    assert "The disk is full." in html and "Free some space." in html
    assert "disk is full" not in str(render_status(ui, [failed], "1"))


def test_what_the_system_says_is_said_in_chinese(tmp_path: Path):
    ui = Page(tmp_path, "zh").ui
    refused = {"name": "a.zip", "reason": "zip_broken", "detail": "File is not a zip file"}
    html = render_status(ui, [entry("finished", result={"refused": 1, "list": [refused]})], "")
    assert "不是 zip 文件" in html
    assert "磁盘已满" in ui.say(OSError(28, "No space left on device"))


def test_a_running_job_has_figures_and_a_stop_button(tmp_path: Path):
    running = entry("running", phase="taking in pictures", done=3, total=40)
    html = str(render_status(Page(tmp_path, "zh").ui, [running], ""))
    assert "3 / 40" in html and 'data-do="stop"' in html and "导入" in html


REASONS = (
    "kind", "list", "format", "missing", "unreadable", "broken", "truncated", "too_large", "duplicate",
    "duplicate_captioned", "no_picture",
    "several_pictures", "several_folders", "has_caption", "caption_too_long", "zip_entries", "zip_size", "zip_ratio",
    "zip_broken", "zip_encrypted", "zip_link", "zip_path", "zip_nested",
)  # fmt: skip


@pytest.mark.parametrize(
    "key",
    [
        *(f"dataset.refused.{reason}" for reason in REASONS),
        *(f"dataset.show.{show}" for show in get_args(Show)),
        *(f"dataset.bulk.{kind}" for kind in get_args(Kind)),
        *(f"dataset.problem.{kind}" for kind in ("broken", "truncated", "too_large", "format")),
        *(f"dataset.caption.{state}" for state in ("empty", "missing", "encoding", "unreadable")),
        *(
            f"dataset.found.{k}"
            for k in (
                "repeats",
                "link",
                "unreadable",
                "name",
                "same_stem",
                "format",
                "no_image",
                "other_caption",
                "mask",
            )
        ),
        *(f"dataset.bulk.left.{reason}" for reason in ("xml", "prose", "long", "encoding")),
    ],
)
def test_words_made_from_codes_exist(key: str):
    assert key in Texts("en")
