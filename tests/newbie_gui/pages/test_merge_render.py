"""The Merge tab's HTML: words for every state, results with links, and no text of others that becomes HTML."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from merge_stock import TINY, workspace_in, write_lokr, write_lora

from newbie_gui.pages.merge import render
from newbie_gui.pages.merge.incoming import receive
from newbie_gui.pages.merge.inventory import read_inventory
from newbie_gui.pages.merge.jobs_panel import JobsPanel
from newbie_gui.pages.ui import Ui
from newbie_gui.services import make_services
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.jobdir import Job, JobDir
from trainer_core.jobs.entries import Entry
from trainer_core.planning.base_check import check_base
from trainer_core.planning.lora_facts import lora_facts

EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture
def ui(tmp_path: Path) -> Ui:
    return Ui("en", make_services(workspace_in(tmp_path)))


def entry(status: Any, kind: Any = "merge", *, spec: dict[str, Any] | None = None, **more: Any) -> Entry:
    return Entry(job=Job(id="20260101-000000-abcdef", kind=kind, title=EVIL, spec=spec or {}), status=status, **more)


def test_a_running_job_tells_its_progress_in_bytes_and_can_be_stopped(ui: Ui) -> None:
    html = render.job_view(ui, entry("running", phase="merging", done=2**20, total=2**21), ())
    assert 'value="0.500"' in html and "1.0 MiB / 2.0 MiB" in html and 'data-do="stop"' in html
    assert EVIL not in html and "&lt;img" in html


def test_a_finished_merge_has_a_link_and_a_deleted_result_none(ui: Ui) -> None:
    file = ui.workspace.models / "a b.safetensors"
    done = entry("finished", result={"output": str(file)})
    assert "is not there any more" in render.job_view(ui, done, ())
    file.touch()
    assert 'href="/files/models/a%20b.safetensors" download' in render.job_view(ui, done, ())
    folder = ui.workspace.loras / "peft"
    folder.mkdir()
    assert 'href="/zip/loras/peft"' in render.job_view(ui, entry("finished", result={"output": str(folder)}), ())


def test_nothing_outside_the_workspace_is_linked(ui: Ui, tmp_path: Path) -> None:
    outside = write_lora(tmp_path / "a.safetensors")
    assert render.download(ui, outside) == ""


def test_a_failure_says_why_and_what_to_do(ui: Ui) -> None:
    html = render.job_view(ui, entry("failed", code="x", message=f"Bad {EVIL}", hints=("Do this.",)), ())
    assert "Bad &lt;img" in html and "<li>Do this.</li>" in html and 'data-do="forget"' in html


@pytest.mark.parametrize("status", ["waiting", "running", "stopping", "finished", "stopped", "failed", "cancelled"])
@pytest.mark.parametrize("kind", ["merge", "convert_lora", "try"])
def test_every_state_of_every_kind_has_words(ui: Ui, status: Any, kind: Any) -> None:
    phase = {"merge": "merging", "convert_lora": "converting", "try": "loading the base"}[kind]
    html = render.job_view(ui, entry(status, kind, phase=phase, done=1, total=2), ())
    assert f'data-status="{status}"' in html and ui.t(f"merge.status.{status}") in html


def test_pictures_stand_side_by_side_with_their_strength(ui: Ui) -> None:
    loras = [{"path": "/x/ann.safetensors", "strength": 0.8}, {"path": f"/x/{EVIL}", "strength": 1.0}]
    spec = {
        "prompt": EVIL,
        "seed": 7,
        "width": 128,
        "height": 128,
        "steps": 4,
        "cfg": 4.5,
        "shift": 6.0,
        "loras": loras,
    }
    job = entry("finished", "try", spec={**spec, "loras": loras}).job
    folder = JobDir(ui.workspace.jobs / job.id)
    folder.create_job(job)
    for strength in (0, 0.5):
        EventLog(folder.events_file).emit("sample", file=f"00-strength-{strength}.png", strength=strength, text=EVIL)
    panel = JobsPanel(SimpleNamespace(t=ui.t, lang="en", workspace=ui.workspace, queue=fixed(job)))  # type: ignore[arg-type]
    html = str(panel.html())
    assert "ann × 0.8, " in html
    assert html.count("<figure>") == 2 and "Without LoRA" in html and "strength 0.5" in html and "Seed 7" in html
    assert f"/files/jobs/{job.id}/samples/00-strength-0.5.png" in html and EVIL not in html
    assert html == str(panel.html())


def fixed(job: Job) -> SimpleNamespace:
    return SimpleNamespace(entries=lambda: (Entry(job=job, status="finished"),))


def test_facts_show_all_metadata_escaped_and_long_ones_folded(ui: Ui) -> None:
    metadata = {"ss_output_name": EVIL, "ss_tag_frequency": '{"a": "' + "x" * 300 + '"}'}
    html = render.facts_view(ui, lora_facts(write_lora(ui.workspace.loras / "a.safetensors", metadata=metadata)))
    assert "rank 2, alpha not stated, 1 modules" in html and EVIL not in html and "&lt;img" in html
    assert html.count("<details>") == 1 and "309 characters" in html


def test_facts_say_how_many_metadata_are_not_shown(ui: Ui) -> None:
    metadata = {name: name * 2**20 for name in "abc"} | {"ss_epoch": "7"}
    html = render.facts_view(ui, lora_facts(write_lora(ui.workspace.loras / "a.safetensors", metadata=metadata)))
    assert "Too long to be shown: 2 more." in html and "ss_epoch" in html


def test_a_lokr_says_so_and_has_no_rank_where_its_factors_are_whole(ui: Ui, tmp_path: Path) -> None:
    line = render.facts_line(ui, lora_facts(write_lokr(tmp_path / "a.safetensors")))
    assert "whole factors, 1 modules" in line and line.endswith("It is a LoKr.")


def test_a_base_says_what_it_is_and_what_it_is_good_for(ui: Ui) -> None:
    assert "Official model folder" in render.base_view(ui, check_base({"base_model_path": str(TINY)}))
    alone = check_base({"base_model_path": str(TINY / "transformer")})
    assert "not for Try it" in render.base_view(ui, alone)
    assert "note error" in render.base_view(ui, check_base({"base_model_path": str(ui.workspace.root)}))


def test_uploads_and_kept_things_are_listed(ui: Ui) -> None:
    good = write_lora(ui.workspace.uploads / "good.safetensors")
    bad = ui.workspace.uploads / "bad.safetensors"
    bad.write_text("junk")
    html = render.received_view(ui, receive([good, bad], ui.workspace.loras))
    assert "Added good.safetensors" in html and "Refused: bad.safetensors cannot be read as a LoRA" in html
    assets = render.assets_view(ui, read_inventory(ui.workspace).assets)
    assert 'data-do="delete" data-on="lora/good.safetensors"' in assets and "/files/loras/good.safetensors" in assets


def test_a_button_acts_on_this_tabs_jobs_only(ui: Ui) -> None:
    queue = SimpleNamespace(entry=lambda job_id: SimpleNamespace(job=SimpleNamespace(kind="train")))
    panel = JobsPanel(SimpleNamespace(t=ui.t, workspace=ui.workspace, queue=queue))  # type: ignore[arg-type]
    with pytest.raises(UserError):
        panel.act("stop", "x")
