"""The queue on the page: what it says of each job, that nothing of a job's text becomes HTML, what its buttons do."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from newbie_gui.pages.train import queue_panel
from newbie_gui.pages.train.queue_html import render_ended, render_now
from newbie_gui.texts import LANGS, Texts
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.jobdir import Job
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Entry, Queue

EN = Texts("en")


def entry(status: Any, title: str = "a job", kind: Any = "train", **more: Any) -> Entry:
    resources = more.pop("resources", ("gpu:0",))
    return Entry(job=Job(id=f"id-{title}", kind=kind, title=title, resources=resources), status=status, **more)


RUNNING = entry("running", "cat", phase="training", done=3, total=9)
FIRST, SECOND = entry("waiting", "dog", position=1), entry("waiting", "owl", position=2)


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    monkeypatch.setattr(Queue, "ensure_worker", lambda self: None)
    workspace = Workspace(tmp_path)
    workspace.create()
    return Queue(workspace)


def page(queue: Queue) -> Any:
    return SimpleNamespace(t=EN, queue=queue)


def test_progress_and_place_are_told_in_words() -> None:
    html = render_now(EN, (RUNNING, FIRST, SECOND), "")
    assert "step 3 of 9" in html and 'value="0.333" aria-label="cat"' in html
    assert "Place 2 · starts when free: GPU 0" in html and "held back" not in html
    assert 'data-do="up" data-on="id-dog" aria-label="Move dog up" disabled' in html
    assert 'data-do="down" data-on="id-owl" aria-label="Move owl down" disabled' in html


def test_what_a_job_waits_for_is_listed_in_the_pages_language() -> None:
    both = {"resources": ("gpu:0", "gpu:1")}
    html = render_now(Texts("zh"), (entry("running", "a", **both), entry("waiting", "b", position=1, **both)), "")
    assert "显卡 0、显卡 1" in html


def test_a_paused_queue_says_why_and_holds_only_long_jobs_back() -> None:
    own = entry("waiting", "own", "index", position=2, resources=("files:a",))
    # Of a kind that the queue knows nothing of: it starts it, so the page must not say otherwise.
    new = entry("waiting", "new", "index", position=3, resources=("camera:0",))
    html = render_now(EN, (FIRST, own, new), "restart")
    assert "The computer was restarted" in html and 'data-do="continue"' in html
    assert html.count("held back") == 1 and "starts in a moment" in html


def test_an_end_comes_with_its_reason_and_own_work_goes_without_saying() -> None:
    failed = entry("failed", code="x", message="It broke.", hints=("Mend it.",), ended=1.0)
    html = render_ended(EN, (failed, entry("finished", "quiet", "tokens"), entry("failed", "loud", "index")))
    assert "It broke.<ul><li>Mend it.</li></ul>" in html and "loud" in html and "quiet" not in html
    many = render_ended(EN, [entry("finished", str(number)) for number in range(25)])
    assert many.count("<li") == 20 and "5 older ones are not shown" in many


@pytest.mark.parametrize("lang", LANGS)
def test_no_text_of_a_job_becomes_html(lang: Any) -> None:
    evil = '"><script>alert(1)</script>'
    entries = [entry(status, evil, phase=evil, message=evil, hints=(evil,)) for status in ("running", "waiting")]
    ended = entry("failed", evil, message=evil, hints=(evil,), resources=(evil,))
    html = render_now(Texts(lang), entries, "") + render_ended(Texts(lang), (ended,))
    assert "<script" not in html and "&lt;script" in html
    named = re.findall(r"<button[^>]*>[^<]+</button>", html)
    assert len(named) == html.count("<button") == 5


def test_the_buttons_do_what_they_say(queue: Queue) -> None:
    first, second = (queue.add("merge", title, {}, resources=["light"]) for title in "ab")
    for verb, on in (("up", second), ("cancel", first), ("pause", "")):
        queue_panel.carry_out(page(queue), verb, on)
    assert [(e.job.title, e.status) for e in queue.entries()] == [("b", "waiting"), ("a", "cancelled")]
    assert queue.paused() == "asked"
    for verb, on in (("forget", first), ("continue", "")):
        queue_panel.carry_out(page(queue), verb, on)
    assert queue.paused() == "" and len(queue.entries()) == 1


@pytest.mark.parametrize(("verb", "on"), [("", ""), ("down", ""), ("rm", "x"), ("up", "../x")])
def test_a_made_up_request_is_refused(queue: Queue, verb: str, on: str) -> None:
    with pytest.raises(UserError):
        queue_panel.carry_out(page(queue), verb, on)


def test_what_the_browser_has_is_not_sent_again(queue: Queue) -> None:
    first = queue_panel.shown(page(queue), "")
    assert all(isinstance(part, str) for part in first)
    assert queue_panel.shown(page(queue), first[2]) == (gr.skip(),) * 3
    queue.add("merge", "a", {}, resources=["light"])
    now, ended, stamp = queue_panel.shown(page(queue), first[2])
    assert ">a</strong>" in now and ended == gr.skip() and stamp != first[2]
