"""The live check: all problems at once, what the run will need, never a wait."""

import shutil
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image
from settings_parts import card, make_dataset, make_ui, settled

from newbie_gui.pages.config.disk_facts import DiskFacts
from newbie_gui.pages.config.form import default_values, to_form, values_from
from newbie_gui.pages.config.form_check import FormReport, check
from newbie_gui.pages.config.render import render, start_problem
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.config import parse_config
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.demo import TINY_BASE


def form(ui: Ui, **values: Any) -> dict[str, Any]:
    """The form of a small training on the built-in base."""
    base = {"base_model_path": str(TINY_BASE), "resolution": 256, "optimizer_type": "AdamW"}
    return to_form({**default_values(ui.workspace), **base, **values})


def report_of(ui: Ui, known: DiskFacts | None = None, **values: Any) -> FormReport:
    known, filled = known or DiskFacts(), form(ui, **values)
    return settled(lambda: check(filled, known, ui), lambda report: report.counting)


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(make_dataset(tmp_path / "data" / "5_hero").parent)


def test_the_first_answer_does_not_wait_and_the_last_knows_all(tmp_path: Path, data: str):
    ui, known = make_ui(tmp_path), DiskFacts()
    filled = form(ui, train_data_dir=data, num_epochs=2, train_batch_size=3)
    first = check(filled, known, ui)
    assert first.counting and "still being read" in render(first, ui) and "Ready to start" not in render(first, ui)
    report = settled(lambda: check(filled, known, ui), lambda found: found.counting)
    assert report.problems == {} and start_problem(report, ui) == ""
    assert report.forecast is not None and report.forecast.steps is not None
    assert report.forecast.steps.total_steps == 10
    html = render(report, ui)
    assert "3 images, shown 15 times an epoch" in html and "unknown until the first steps" in html
    assert "Ready to start" in html


def test_what_is_held_out_is_not_counted(tmp_path: Path, data: str):
    ui, known, held_out = make_ui(tmp_path), DiskFacts(), tmp_path / "held out"
    held_out.mkdir()
    Image.new("RGB", (256, 256), "red").save(Path(data, "5_hero", "0.png"))
    assert "3 images, shown 15 times" in render(report_of(ui, known, train_data_dir=data), ui)
    # The other two are the same file.
    shutil.copy(Path(data, "5_hero", "1.png"), held_out)
    html = render(report_of(ui, known, train_data_dir=data, validation_data_dir=str(held_out)), ui)
    assert "1 images, shown 5 times" in html


def test_every_problem_is_told_at_once_in_the_pages_language(tmp_path: Path, data: str):
    ui = make_ui(tmp_path, lang="zh")
    bad = {"resolution": 1000, "learning_rate": "1e-", "validation_split": 0.1, "validation_data_dir": "v"}
    report = report_of(ui, train_data_dir=data, **bad)
    assert list(report.problems) == ["resolution", "learning_rate", "validation_data_dir", "validation_split"]
    assert start_problem(report, ui) == f"开始前需解决 4 个问题，见“分辨率（像素）”：{report.problems['resolution']}"
    # Memory is forecast all the same, with defaults in place of what is wrong.
    assert report.forecast is not None and set(report.replaced) >= {"resolution", "learning_rate"}
    assert "分辨率" in render(report, ui)


def test_what_is_missing_on_disk_is_a_problem(tmp_path: Path, data: str):
    ui = make_ui(tmp_path)
    nowhere = str(tmp_path / "no")
    report = report_of(ui, base_model_path=nowhere, train_data_dir=nowhere, lora_target_modules=["attention.nothing"])
    assert set(report.problems) == {"base_model_path", "train_data_dir", "lora_target_modules"}
    (tmp_path / "empty").mkdir()
    empty = report_of(ui, train_data_dir=str(tmp_path / "empty"))
    assert "No usable image" in empty.problems["train_data_dir"]


def test_a_folder_that_is_being_filled_is_not_empty_for_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ui, known, folder = make_ui(tmp_path), DiskFacts(), tmp_path / "cats"
    folder.mkdir()
    empty = report_of(ui, known, train_data_dir=str(folder))
    assert empty.passing and "No usable image" in empty.problems["train_data_dir"]
    arriving = SimpleNamespace(active=True, job=SimpleNamespace(kind="import", spec={"folder": str(folder)}))
    monkeypatch.setattr(ui.queue, "entries", lambda: [arriving])
    assert "still arriving" in report_of(ui, known, train_data_dir=str(folder)).problems["train_data_dir"]
    # Read anew, which may take its time: what was wrong before is not said meanwhile.
    make_dataset(folder / "1_cat")
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + 10)
    monkeypatch.setattr("newbie_gui.pages.config.lookup.time", later)
    again = check(form(ui, train_data_dir=str(folder)), known, ui)
    assert again.reading and again.problems == {} and "still being read" in render(again, ui)
    assert report_of(ui, known, train_data_dir=str(folder)).data is not None


def test_without_a_data_set_memory_alone_is_told(tmp_path: Path):
    ui = make_ui(tmp_path)
    report = report_of(ui)
    assert list(report.problems) == ["train_data_dir"] and report.data is None
    assert "unknown without a data set" in render(report, ui)


def test_a_card_too_small_is_a_warning_with_the_published_steps(tmp_path: Path, data: str):
    fits = report_of(make_ui(tmp_path, card(23)), base_model_path="", train_data_dir=data, resolution=1024)
    assert [fit.fits for fit in fits.fits] == [True] and not fits.warnings
    ui = make_ui(tmp_path, card(7, 8))
    small = report_of(ui, base_model_path="", train_data_dir=data, resolution=2048, train_batch_size=8)
    assert not small.fits[0].fits and small.hints
    assert "will not fit on GPU 0" in small.warnings[0] and "micro_batch_size = 1" in small.hints[0]
    assert "config-limit" in render(small, ui)


def test_a_card_that_others_fill_is_said_apart(tmp_path: Path, data: str):
    report = report_of(make_ui(tmp_path, card(2)), train_data_dir=data, base_model_path="", resolution=1024)
    assert "hold 22.0 GiB" in report.warnings[0]


def test_a_name_that_is_taken(tmp_path: Path, data: str):
    ui = make_ui(tmp_path)
    values = {"base_model_path": str(TINY_BASE), "train_data_dir": data, "lora_rank": 8}
    output = {"output_dir": str(ui.workspace.output), "output_name": "mine"}
    run = RunDir(ui.workspace.output / "mine")
    run.create(parse_config({**values, **output}))
    assert "Start continues it" in report_of(ui, train_data_dir=data, output_name="mine").warnings[0]
    checkpoint = run.checkpoints / "step-00000001"
    checkpoint.mkdir()
    (checkpoint / "state.json").write_text("{}")
    (checkpoint / "manifest.json").write_text('{"state.json": {"size": 2, "sha256": ""}}')
    report = report_of(ui, train_data_dir=data, output_name="mine", lora_rank=16)
    assert "LoRA rank" in report.problems["output_name"]
    start = {"train_data_dir": data, "resume_from_lora": str(tmp_path / "moved.safetensors")}
    assert list(report_of(ui, output_name="new", **start).problems) == ["resume_from_lora"]
    assert "resume_from_lora" not in report_of(ui, output_name="mine", **start).problems


def test_a_run_with_nothing_left_to_train_is_not_said_to_go_on(tmp_path: Path, data: str):
    ui = make_ui(tmp_path)
    settings = {"train_data_dir": data, "output_name": "mine", "output_dir": str(ui.workspace.output)}
    run = RunDir(ui.workspace.output / "mine")
    run.create(parse_config(values_from(form(ui, **settings))))
    run.write_state("finished")
    checkpoint = run.checkpoints / "step-00000005"
    checkpoint.mkdir()
    (checkpoint / "state.json").write_text("{}")
    (checkpoint / "manifest.json").write_text('{"state.json": {"size": 2, "sha256": ""}}')
    for steps, told in ((4, "has done 5 steps, all that is asked"), (5, "nothing is left"), (6, "Start continues it")):
        assert told in report_of(ui, max_train_steps=steps, **settings).warnings[0]


def test_text_of_people_never_becomes_html(tmp_path: Path):
    ui = make_ui(tmp_path)
    evil = "<img src=x onerror=alert(1)>"
    report = report_of(ui, train_data_dir=evil, output_name=evil, lora_target_modules=[evil], gpus=evil)
    assert len(report.problems) == 4 and "<img" not in render(report, ui)


def test_new_pictures_are_counted_without_being_asked_to(tmp_path: Path, data: str):
    ui, known = make_ui(tmp_path), DiskFacts()
    known._data._fresh_s = 0.0
    first = report_of(ui, known, train_data_dir=data)
    make_dataset(Path(data) / "more", images=2)
    filled = form(ui, train_data_dir=data)
    assert first.data is not None
    # A look between the two sees one more: it is looked again until both are there.
    wanted = first.data.images + 2
    settled(lambda: check(filled, known, ui), lambda found: found.data is None or found.data.images != wanted)


def test_a_check_on_cached_data_is_fast(tmp_path: Path, data: str, record_figure: Any):
    """On a released base, the most expensive forecast there is. The goal is 50 ms; the suite beside it doubles that."""
    ui, known = make_ui(tmp_path, card(23)), DiskFacts()
    filled = form(ui, train_data_dir=data, base_model_path="", resolution=1024)
    settled(lambda: check(filled, known, ui), lambda found: found.counting)
    seconds = []
    for _ in range(7):
        start = time.thread_time()
        render(check(filled, known, ui), ui)
        seconds.append(time.thread_time() - start)
    milliseconds = 1000 * min(seconds)
    record_figure("settings check, ms of CPU", milliseconds)
    assert milliseconds < 100
