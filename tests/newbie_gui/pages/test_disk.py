"""The Disk tab: nothing is cleaned up that was not chosen and asked about."""

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from settings_parts import make_ui

from newbie_gui.pages import disk
from newbie_gui.pages.ui import Ui
from trainer_core.jobs.queue import Queue


@pytest.fixture
def wired(tmp_path: Path) -> dict[tuple[str, str], Any]:
    return handlers(make_ui(tmp_path))


def handlers(ui: Ui) -> dict[tuple[str, str], Any]:
    """Handlers by (id of the component, event)."""
    with gr.Blocks() as blocks:
        disk.build(ui)
    targets = [(target, fn.fn) for fn in blocks.fns.values() for target in fn.targets]
    return {(str(blocks.blocks[number].elem_id), event): handler for (number, event), handler in targets}


def test_nothing_is_chosen_beforehand_and_nothing_is_asked_then(wired: dict[tuple[str, str], Any]):
    with pytest.warns(UserWarning, match="Choose what to clean up"):
        question, _ = wired["disk-clean", "click"](None)
    assert not question["visible"]


def test_the_question_says_what_goes_and_another_choice_takes_it_back(wired: dict[tuple[str, str], Any]):
    question, words = wired["disk-clean", "click"]("trash")
    assert question["visible"] and "for good" in words
    question, words = wired["disk-part", "input"]()
    assert not question["visible"] and words == ""


def test_what_a_job_may_need_is_not_asked_about(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ui = make_ui(tmp_path)
    monkeypatch.setattr(ui.queue, "entries", lambda: [SimpleNamespace(at_work=True)])
    click = handlers(ui)["disk-clean", "click"]
    with pytest.warns(UserWarning, match="cache may be in use"):
        question, _ = click("cache")
    assert not question["visible"] and click("trash")[0]["visible"]


def test_the_uploads_of_a_waiting_import_are_not_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Queue, "ensure_worker", lambda self: None)
    ui = make_ui(tmp_path)
    files = {name: ui.workspace.uploads / name / "1.png" for name in ("waiting", "left")}
    for file in files.values():
        file.parent.mkdir()
        file.touch()
        os.utime(file.parent, (time.time() - 7200,) * 2)
    ui.queue.add("import", "t", {"files": [str(files["waiting"])]}, resources=("files:cats",))
    handlers(ui)["disk-sure", "click"]("uploads")
    assert files["waiting"].exists() and not files["left"].exists()
