"""What the Train tab's handlers answer, without a browser: only news, little of it, and nothing that is not checked."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import orjson
import pytest
from run_folders import HeldQueue, config, make_checkpoint, make_run, tell_steps
from test_long_run import STEPS, long_log

from newbie_gui.fresh import Fresh
from newbie_gui.pages.train import plot_view
from newbie_gui.pages.train.handlers import Handlers, changes_table
from newbie_gui.pages.train.renderer import TrainRenderer
from newbie_gui.pages.train.tab import build
from newbie_gui.pages.ui import Ui
from newbie_gui.remember import SHOWN_RUN
from newbie_gui.runs import actions
from newbie_gui.runs.store import RunStore
from newbie_gui.services import make_services
from trainer_core.contracts.checkpoints import is_pinned
from trainer_core.contracts.config import load_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.jobdir import Job
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Entry
from trainer_core.planning.hardware import Machine


@pytest.fixture
def ui(workspace: Workspace, queue: HeldQueue, store: RunStore) -> Ui:
    machine = Fresh(lambda: Machine(memory_total_mib=8192), 2.0)
    services = make_services(workspace, machine=machine, queue=queue)
    return Ui("en", replace(services, runs=store))


class Page:
    """The built tab and its handlers, with a form that holds one config."""

    def __init__(self, ui: Ui, workspace: Workspace) -> None:
        self.config = config(workspace, "form", device="cpu")
        self.problem = ""
        with gr.Blocks() as self.blocks:
            field = gr.Textbox()
            form: Any = SimpleNamespace(
                outputs=[field], config=lambda _: self.config, fill=lambda new: {field: new}, start_problem=field,
                problem_of=lambda config: self.problem,
            )  # fmt: skip
            self.tab = build(ui, form)
        self.field = field
        # The tab keeps its handlers to itself; its load is a method of what all of them share.
        show = self.tab.load.__self__  # type: ignore[attr-defined]
        assert isinstance(show, TrainRenderer)
        self.parts = show._parts
        self.handlers = Handlers(ui, self.parts, show, form)
        self.selected = self.parts.selected

    def values(self, key: str = "") -> dict[Any, Any]:
        return {self.selected: key}

    def look(self, key: str = "", *, seen: Any = None, other: str = "") -> dict[Any, Any]:
        """One look of a page that shows the run ``key`` and has the stamps of the look ``seen``."""
        stamps = (seen or {}).get(self.parts.stamps, "")
        values = {self.selected: key, self.parts.stamps: stamps, self.parts.plots.other: other}
        return self.tab.load(values)

    @property
    def run_parts(self) -> set[Any]:
        parts = self.parts
        return {parts.progress, parts.plots.loss, parts.samples, parts.files, parts.log}


@pytest.fixture
def page(ui: Ui, workspace: Workspace) -> Page:
    return Page(ui, workspace)


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the page's toasts say."""
    found: list[str] = []
    monkeypatch.setattr(gr, "Info", found.append)
    return found


def size(updates: Any) -> int:
    return len(orjson.dumps(list(updates.values()), default=str))


def test_a_second_look_brings_only_what_is_new(workspace: Workspace, page: Page) -> None:
    run, plots = make_run(workspace, "one", "running"), page.parts.plots
    tell_steps(run, 1, 5)
    first = page.look()
    assert {page.parts.list, *page.parts.buttons.values(), *page.run_parts} <= set(first)
    assert page.look(first[page.selected], seen=first) == {page.parts.stamps: gr.skip()}
    tell_steps(run, 6, 6)
    curves = {plots.loss, plots.heading, plots.rate, plots.health, plots.table}
    assert set(page.look(first[page.selected], seen=first)) == {page.parts.progress, page.parts.stamps, *curves}


def test_a_page_of_another_run_gets_all_of_it(workspace: Workspace, page: Page, store: RunStore) -> None:
    for name in ("one", "two"):
        tell_steps(make_run(workspace, name), 1, 5)
    keys = {row.name: row.key for row in store.rows()}
    first = page.look(keys["one"])
    second = page.look(keys["two"], seen=first)
    assert page.run_parts <= set(second) and "two" in second[page.parts.progress] and page.selected not in second


def test_a_fresh_page_shows_what_is_at_work_before_what_was_shown_last(
    workspace: Workspace, ui: Ui, page: Page, store: RunStore
) -> None:
    for name in ("shown last", "newer"):
        make_run(workspace, name)
    keys = {row.name: row.key for row in store.rows()}
    ui.remember.set(SHOWN_RUN, keys["shown last"])
    assert page.look()[page.selected] == keys["shown last"]
    make_run(workspace, "busy", "running")
    store.forget_list()
    assert page.look()[page.selected] not in keys.values()
    assert page.selected not in page.look(keys["newer"])


def test_18_a_long_run_is_light_on_the_wire(
    workspace: Workspace, page: Page, record_figure: Callable[[str, float], None]
) -> None:
    run = make_run(workspace, "long")
    long_log(run.events_file)
    first = page.look()
    spent = []
    for step in range(STEPS + 1, STEPS + 4):
        tell_steps(run, step, step)
        started = time.thread_time()
        news = page.look(first[page.selected], seen=first)
        spent.append(time.thread_time() - started)
    record_figure("a tick with a new step in a run of 100,000 steps, seconds", min(spent))
    record_figure("the same on the wire, kB", size(news) / 1000)
    assert page.parts.plots.loss in news and size(news) < 60_000 and min(spent) < 0.05


def test_names_prompts_and_logs_stay_text(workspace: Workspace, page: Page) -> None:
    run = make_run(workspace, "a&b", "failed", sample_prompts=["<i>prompt"])
    run.write_state("failed", code="internal", message="<b>broken")
    (run.samples / "step-00000000-00.png").touch()
    run.log_file.write_text("<u>line</u>\n", encoding="utf-8")
    found, parts = page.look(), page.parts
    text = "".join(found[part] for part in (parts.list, parts.progress, parts.failure, parts.samples, parts.log))
    assert "a&amp;b" in text and "&lt;b&gt;broken" in text and "&lt;u&gt;line" in text and "&lt;i&gt;prompt" in text
    assert not [bad for bad in ("<b>", "<i>", "<u>", "a&b") if bad in text]


@pytest.mark.parametrize("junk", [None, 3, "{", "[1]", '{"plot": 5}', float("nan"), ["x"], "x" * 9999])
def test_whatever_a_browser_sends_is_answered(page: Page, workspace: Workspace, junk: object) -> None:
    tell_steps(make_run(workspace, "one"), 1, 5)
    updates = page.tab.load(dict.fromkeys(page.tab.inputs, junk))
    assert updates[page.selected] and json.dumps(updates[page.selected])


def test_start_queues_the_form_and_shows_the_run(page: Page, queue: HeldQueue, workspace: Workspace) -> None:
    page.handlers.start(page.values(), None, front=True)
    [(kind, title, _, resources, files)] = queue.added
    assert (kind, title, resources) == ("train", "form", ("cpu",)) and "config.toml" in files
    job = Job(id="j", kind="train", title="form")
    queue.held = [Entry(job=job, status="waiting", run=make_run(workspace, "form", "stopped"))]
    page.handlers._store.forget_list()
    with pytest.raises(UserError) as caught:
        page.handlers.start(page.values(), None, front=False)
    assert caught.value.code == "run_in_use" and len(queue.added) == 1


def test_how_start_differs_from_queue_is_said(page: Page) -> None:
    texts = [str(block.value) for block in page.blocks.blocks.values() if isinstance(block, gr.Markdown)]
    assert any("“Start” goes before all that waits, “Queue” after it" in text for text in texts)


def test_a_run_that_has_done_all_that_is_asked_for_is_not_queued(
    page: Page, queue: HeldQueue, workspace: Workspace
) -> None:
    make_checkpoint(make_run(workspace, "form"), 400)
    page.config = replace(page.config, max_train_steps=100)
    with pytest.raises(UserError, match="form has done 400 steps already, and with “Steps at most.*” at 100 nothing"):
        page.handlers.start(page.values(), None, front=True)
    assert queue.added == []
    page.config = replace(page.config, max_train_steps=401)
    page.handlers.start(page.values(), None, front=True)
    assert len(queue.added) == 1


def test_resume_queues_the_runs_own_settings(page: Page, queue: HeldQueue, workspace: Workspace) -> None:
    places = {name: str(workspace.root / name) for name in ("base_model_path", "train_data_dir")}
    run = make_run(workspace, "one", "stopped", learning_rate=3e-4, **places)
    [row] = page.handlers._store.rows()
    with pytest.raises(UserError, match="base_model_path, which the run was trained with, is not there"):
        page.handlers.resume(page.values(row.key))
    for folder in places.values():
        Path(folder).mkdir()
    page.handlers.resume(page.values(row.key))
    assert "learning_rate = 0.0003" in queue.added[0][4]["config.toml"] and queue.added[0][2] == {"run": str(run.path)}


def test_the_loss_beside_a_checkpoint_is_called_smoothed(page: Page, workspace: Workspace) -> None:
    run = make_run(workspace, "one", "stopped")
    tell_steps(run, 1, 3)
    make_checkpoint(run, 3)
    files = page.look()[page.parts.files]
    assert ">Loss (smoothed)</th>" in files and "<td>0.502</td>" in files


def test_what_has_no_checkpoint_is_said_to_start_anew(page: Page, workspace: Workspace, said: list[str]) -> None:
    places = {name: str(workspace.root) for name in ("base_model_path", "train_data_dir")}
    run = make_run(workspace, "one", "stopped", **places)
    [row] = page.handlers._store.rows()
    page.config = replace(load_config(run.config_file), learning_rate=3e-4)
    for begun in (False, True):
        if begun:
            make_checkpoint(run, 3)
        page.handlers.resume(page.values(row.key))
        page.handlers.go_on(page.values(row.key))
    assert ["starts anew" in text for text in said] == [True, True, False, False]
    assert said[2] == "one goes on from its newest checkpoint."


def test_save_and_stop_says_whether_there_is_anything_to_save(
    page: Page, workspace: Workspace, said: list[str]
) -> None:
    run = make_run(workspace, "one", "running")
    log = EventLog(run.events_file)
    [row] = page.handlers._store.rows()
    tell_steps(run, 1, 2)
    log.emit("started", pid=1)
    page.handlers.stop(page.values(row.key), now=False)
    tell_steps(run, 3, 3)
    page.handlers.stop(page.values(row.key), now=False)
    assert "nothing to save" in said[0] and said[1] == "It saves a checkpoint after this step and stops."


def test_continue_with_the_forms_settings_keeps_the_runs_name(
    page: Page, queue: HeldQueue, workspace: Workspace, ui: Ui
) -> None:
    run = make_run(workspace, "one", "stopped")
    make_checkpoint(run, 3)
    [row] = page.handlers._store.rows()
    page.config = config(workspace, "other", learning_rate=3e-4, lora_rank=8)
    table = str(changes_table(ui, actions.planned_changes(row, page.config)))
    assert "cannot change in a begun run" in table and "goes on with the new value" in table
    with pytest.raises(UserError, match="lora_rank"):
        page.handlers.go_on(page.values(row.key))
    page.config = config(workspace, "other", learning_rate=3e-4)
    page.problem = "The data set is gone."
    with pytest.raises(UserError, match="is gone"):
        page.handlers.go_on(page.values(row.key))
    assert queue.added == []
    page.problem = ""
    page.handlers.go_on(page.values(row.key))
    assert queue.added[0][1] == "one"


@pytest.mark.parametrize(
    ("begun", "status", "said_first"),
    [
        (True, "waiting", "Cancel it there first, then continue"),
        (False, "waiting", "Cancel it there first, then press Start"),
        (True, "stopping", "Stop it first"),
    ],
)
def test_a_live_run_is_to_be_ended_before_it_goes_on_changed(
    page: Page, queue: HeldQueue, workspace: Workspace, begun: bool, status: Any, said_first: str
) -> None:
    run = RunDir(workspace.output / "form")
    for folder in (RunDir(workspace.jobs / "j"), *([run] if begun else [])):
        folder.create(page.config)
    queue.held = [Entry(job=Job(id="j", kind="train", title="form"), status=status, run=run)]
    [row] = page.handlers._store.rows()
    assert said_first in page.handlers.planned(page.values(row.key))
    with pytest.raises(UserError, match=said_first):
        page.handlers.go_on(page.values(row.key))


def test_a_cancelled_run_stays_shown_and_no_other_takes_its_place(
    page: Page, queue: HeldQueue, workspace: Workspace
) -> None:
    tell_steps(make_run(workspace, "other", "running"), 1, 5)
    begun, new = make_run(workspace, "begun", "stopped"), RunDir(workspace.output / "new")
    queue.held = [
        Entry(job=Job(id=run.path.name, kind="train", title=run.path.name), status="waiting", run=run)
        for run in (begun, new)
    ]
    keys = {row.name: row.key for row in page.handlers._store.rows()}
    seen = {name: page.look(keys[name]) for name in ("begun", "new")}
    queue.held = []
    page.handlers._store.forget_list()
    assert page.selected not in page.look(keys["begun"], seen=seen["begun"])
    gone = page.look(keys["new"], seen=seen["new"])
    assert page.selected not in gone and gone[page.parts.shown] == gr.update(visible=False)
    assert "is not there any more" in gone[page.parts.nothing]["value"]
    with pytest.raises(UserError, match="not there any more"):
        page.handlers.go_on(page.values(keys["new"]))


def test_a_run_that_waits_is_said_to(page: Page, queue: HeldQueue, workspace: Workspace) -> None:
    run = RunDir(workspace.output / "new")
    queue.held = [Entry(job=Job(id="j", kind="train", title="new"), status="waiting", run=run)]
    parts, found = page.parts, page.look()
    assert all("It waits in the queue." in found[part] for part in (parts.progress, parts.plots.health))
    assert "Too early" not in found[parts.plots.health]
    # What it told before it was stopped is not what it does now.
    EventLog(make_run(workspace, "new", "stopped").events_file).emit("phase", phase="validating", done=0, total=1)
    page.handlers._store.forget_list()
    found = page.look()
    assert "Step 3 of 9" in found[parts.progress] and "validating" not in found[parts.progress]


def test_a_copy_and_the_runs_own_settings_go_into_the_form(page: Page, workspace: Workspace) -> None:
    run = make_run(workspace, "one", learning_rate=3e-4)
    [row] = page.handlers._store.rows()
    assert page.handlers.load(page.values(row.key)) == {page.field: vars(load_config(run.config_file))}
    assert page.handlers.duplicate(page.values(row.key))[page.field]["output_name"] == "one-2"


@pytest.mark.parametrize("name", ["../config.toml", "gone.safetensors", "", "/etc/passwd", "a/b"])
def test_only_a_lora_of_the_run_goes_to_the_merge_tab(page: Page, workspace: Workspace, name: str) -> None:
    run = make_run(workspace, "one")
    (run.exports / "one-step-00000003.safetensors").touch()
    [row] = page.handlers._store.rows()
    with pytest.raises(UserError) as caught:
        page.handlers.use_for_merge(page.values(row.key), name)
    assert caught.value.code == "lora_missing"
    chosen = page.handlers.use_for_merge(page.values(row.key), "one-step-00000003.safetensors")
    assert chosen == {page.tab.lora: str((run.exports / "one-step-00000003.safetensors").resolve())}


@pytest.mark.parametrize("step", ["4", "-3", "../3", "", "³"])
def test_only_a_checkpoint_of_the_run_is_pinned(page: Page, workspace: Workspace, step: str) -> None:
    run = make_run(workspace, "one")
    folder = make_checkpoint(run, 3)
    [row] = page.handlers._store.rows()
    with pytest.raises(UserError):
        page.handlers.pin(page.values(row.key), step, on=True)
    page.handlers.pin(page.values(row.key), "3", on=True)
    assert is_pinned(folder)


@pytest.mark.parametrize("number", ["99", "-1", "x", ""])
def test_only_a_rung_of_the_ladder_is_applied(page: Page, workspace: Workspace, queue: HeldQueue, number: str) -> None:
    run = make_run(workspace, "one", train_batch_size=4)
    run.write_state("failed", code="out_of_memory", message="The GPU ran out of memory.")
    page.handlers._store.forget_list()
    [row] = page.handlers._store.rows()
    with pytest.raises(UserError):
        page.handlers.apply(page.values(row.key), number)
    assert queue.added == []
    page.handlers.apply(page.values(row.key), "0")
    assert "micro_batch_size = 1\n" in queue.added[0][4]["config.toml"]


def test_a_deleted_run_is_no_longer_shown(page: Page, workspace: Workspace) -> None:
    make_run(workspace, "one")
    [row] = page.handlers._store.rows()
    assert page.handlers.delete(page.values(row.key))[page.selected] == ""
    with pytest.raises(UserError) as caught:
        page.handlers.resume(page.values(row.key))
    assert caught.value.code == "run_missing"


def test_every_curve_has_a_colour(workspace: Workspace, page: Page, store: RunStore, ui: Ui) -> None:
    for name in ("one", "two"):
        tell_steps(make_run(workspace, name), 1, 5)
    keys = {row.name: row.key for row in store.rows()}
    rows = page.look(keys["one"], other=keys["two"])[page.parts.plots.loss]["data"]
    drawn = {row[2] for row in rows if row[1] is not None}
    assert len(drawn) == 3 and {row[2] for row in rows} == set(plot_view.colours(ui))
