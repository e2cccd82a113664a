"""The base model's panel: what it says of a base and of a job, and which jobs it asks for."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr
import pytest

from newbie_gui.pages.config.base_jobs import BaseJobs, ended_since, paths_of
from newbie_gui.pages.config.base_panel import BasePanel
from newbie_gui.pages.config.base_report import missing_bytes, render_job, render_report
from newbie_gui.pages.ui import Ui, stamp_of
from newbie_gui.services import make_services
from newbie_gui.texts import Lang
from trainer_core.contracts.base_part import BASE_OPTIONS
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.jobdir import Job
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Entry, Queue
from trainer_core.planning.base_check import check_base
from trainer_core.planning.demo import TINY_BASE

GIB = 2**30
PLAN = {"bytes": 20 * GIB, "have": 2 * GIB, "free": 100 * GIB, "files": 21, "paths": {}}


class Quiet(Queue):
    """Keeps jobs and starts no process."""

    def ensure_worker(self) -> None:
        pass


def page(root: Path, lang: Lang = "en") -> Ui:
    workspace = Workspace(root / "ws")
    workspace.create()
    return Ui(lang, make_services(workspace, queue=Quiet(workspace)))


def entry(kind: Any = "download", spec: Mapping[str, Any] | None = None, **values: Any) -> Entry:
    job = Job(id="j1", kind=kind, title="t", spec={"output": "/ws/models/<b>new</b>", **(spec or {})})
    return Entry(job=job, **values)


@pytest.mark.parametrize("lang, good, bad", [("en", "Usable", "Not usable yet"), ("zh", "可以使用", "还不能使用")])
def test_the_report_says_in_words_whether_it_can_be_used(lang: Lang, good: str, bad: str, tmp_path: Path) -> None:
    ui = page(tmp_path, lang)
    assert good in render_report(check_base({"base_model_path": str(TINY_BASE)}), ui)
    html = render_report(check_base({"base_model_path": str(TINY_BASE / "vae")}), ui)
    assert bad in html and str(TINY_BASE) in html and "✗" in html
    odd = tmp_path / "<script>x"
    odd.mkdir()
    assert "<script" not in render_report(check_base({"base_model_path": str(odd)}), ui)


@pytest.mark.parametrize(
    ("paths", "how"),
    [
        ({"base_model_path": str(TINY_BASE)}, "builtin"),
        ({"base_model_path": "/models/one"}, "folder"),
        ({"transformer_path": "/comfy/one.safetensors"}, "comfyui"),
    ],
)
def test_the_origin_is_that_of_the_paths_in_the_form(paths: Mapping[str, str], how: str, tmp_path: Path) -> None:
    panel, fields = panel_of(page(tmp_path))
    data = {field: paths.get(name, "") for name, field in fields.items()}
    for before in {"builtin", "folder", "comfyui"} - {how}:
        updates = panel._checked({**data, panel._how: before})
        assert updates[panel._how] == how and updates[panel._groups[how]]["visible"]
    # Where a base is being made, and where it is shown already, nothing is chosen for anybody.
    for before in (how, "download"):
        assert panel._how not in panel._checked({**data, panel._how: before})


def test_choosing_the_built_in_base_puts_it_into_the_form(tmp_path: Path) -> None:
    panel, fields = panel_of(page(tmp_path))
    updates = panel._chosen_how({panel._how: "builtin"})
    assert updates[fields["base_model_path"]]["value"] == str(TINY_BASE)
    assert updates[fields["vae_path"]]["value"] == ""
    assert fields["base_model_path"] not in panel._chosen_how({panel._how: "comfyui"})


def panel_of(ui: Ui) -> tuple[BasePanel, dict[str, gr.Textbox]]:
    with gr.Blocks(analytics_enabled=False):
        panel = BasePanel(ui)
        panel.place()
        fields = {name: gr.Textbox() for name in BASE_OPTIONS}
        panel.wire(fields)
    return panel, fields


def test_nothing_chosen_is_no_error(tmp_path: Path) -> None:
    html = render_report(check_base({}), page(tmp_path))
    assert "No base model is chosen yet" in html and "error" not in html


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_job_is_told_in_bytes_and_its_name_is_escaped(lang: Lang, tmp_path: Path) -> None:
    ui = page(tmp_path, lang)
    html = render_job(entry(status="running", phase="downloading", done=5 * GIB, total=20 * GIB), ui)
    assert "5.00 GiB" in html and "20.00 GiB" in html and "25 %" in html and "<b>" not in html
    for status in ("waiting", "stopping", "stopped", "cancelled"):
        assert 'role="status"' in render_job(entry(status=status), ui)
    html = render_job(entry(status="failed", code="disk_full", message="a < b", hints=("do",)), ui)
    assert "a &lt; b" in html and "<details>" in html


def test_a_plan_shows_size_and_free_room_and_what_lacks(tmp_path: Path) -> None:
    ui = page(tmp_path)
    plan = entry(spec={"plan": True}, status="finished", result=PLAN)
    assert all(word in render_job(plan, ui) for word in ("20.00 GiB", "21 files", "2.00 GiB", "100.00 GiB"))
    assert missing_bytes(PLAN) == 0 and paths_of(plan) == {}
    short = entry(spec={"plan": True}, status="finished", result=PLAN | {"free": 10 * GIB})
    assert "8.00 GiB too little" in render_job(short, ui)


def test_a_base_is_chosen_only_by_a_page_that_saw_the_job_at_work() -> None:
    before = entry(status="running", phase="downloading", done=1, total=2)
    after = entry(status="finished", result={"paths": {"base_model_path": "/x"}})
    assert ended_since(after, stamp_of(before)) and paths_of(after) == {"base_model_path": "/x"}
    assert not ended_since(after, stamp_of(after)) and not ended_since(after, "") and not ended_since(before, "")
    assert paths_of(entry("convert", {"to": "comfyui"}, status="finished", result={"paths": {"x": "y"}})) == {}


def test_asking_for_the_size_queues_a_plan_and_confirming_needs_one(tmp_path: Path) -> None:
    ui = page(tmp_path)
    jobs = BaseJobs(ui)
    job_id = jobs.plan("", {"gemma": " google/gemma-3-4b-it ", "vae": ""}, "底模 1")
    spec = ui.queue.entry(job_id).job.spec
    assert spec["plan"] and spec["parts"] == {"gemma": "google/gemma-3-4b-it"}
    assert spec["output"] == str(ui.workspace.models / "底模 1")
    for wrong in ("", job_id):
        with pytest.raises(UserError) as caught:
            jobs.confirm(wrong)
        assert caught.value.code == "base_no_plan"
    jobs.stop(job_id)
    newest = jobs.newest()
    assert newest is not None and newest.status == "cancelled"


def test_converting_the_chosen_base(tmp_path: Path) -> None:
    ui = page(tmp_path)
    job_id = BaseJobs(ui).convert(str(TINY_BASE), {"vae": "", "clip": "x"}, form="comfyui", dtype="bf16", name="n")
    job = ui.queue.entry(job_id).job
    assert (job.kind, job.resources, job.spec["parts"]) == ("convert", ("light",), {"clip": "x"})
    assert job.spec["output"] == str(ui.workspace.models / "n.safetensors")


def test_a_new_base_has_one_suffix_and_a_place_of_its_own(tmp_path: Path) -> None:
    ui = page(tmp_path)
    jobs = BaseJobs(ui)
    assert jobs.output("mine.safetensors", file=True).name == "mine.safetensors"
    jobs.plan("", {}, "same")
    jobs.convert(str(TINY_BASE), {}, form="official", dtype="keep", name="same")
    with pytest.raises(UserError, match="a waiting job will write it"):
        jobs.convert(str(TINY_BASE), {}, form="official", dtype="keep", name="same")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "CON", "x\0"])
def test_a_name_is_a_plain_one(name: str, tmp_path: Path) -> None:
    jobs = BaseJobs(page(tmp_path))
    with pytest.raises(UserError) as caught:
        jobs.convert(str(TINY_BASE), {}, form="official", dtype="keep", name=name)
    assert caught.value.code == "name_invalid" and jobs.newest() is None
    assert not caught.value.message.endswith("..")


def test_what_is_taken_or_missing_or_no_id_is_refused_before_a_job_is_made(tmp_path: Path) -> None:
    ui = page(tmp_path)
    jobs = BaseJobs(ui)
    (ui.workspace.models / "taken").mkdir()
    for call, code in (
        (lambda: jobs.plan("", {}, "taken"), "output_exists"),
        (lambda: jobs.plan("https://example.com/x", {}, "new"), "part_missing"),
        (lambda: jobs.convert("/no/where", {}, form="official", dtype="keep", name="new"), "base_missing"),
        (lambda: jobs.convert("", {}, form="official", dtype="keep", name="new"), "base_missing"),
    ):
        with pytest.raises(UserError) as caught:
            call()
        assert caught.value.code == code
    assert jobs.newest() is None
