"""Check fit on the page: what it asks for, how the answer reads, what the forecast makes of it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from settings_parts import NO_GPU, card, make_dataset, make_ui, settled

from newbie_gui.pages.config.disk_facts import DiskFacts
from newbie_gui.pages.config.fit_panel import FitPanel, ask
from newbie_gui.pages.config.fit_view import render_fit
from newbie_gui.pages.config.form import default_values, to_form, values_from
from newbie_gui.pages.config.form_check import check
from newbie_gui.pages.config.render import render
from newbie_gui.pages.ui import Ui
from newbie_gui.texts import Lang
from trainer_core.contracts.config import TrainConfig, load_config, parse_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.jobdir import Job, JobDir
from trainer_core.dataset.facts import read_facts
from trainer_core.jobs.queue import Entry, Queue
from trainer_core.planning.base import read_base
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.estimate import work_of
from trainer_core.planning.gpu_choice import device_name
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.measured import MeasuredStep, fit_folder, fit_key, keep

GIB = 2**30
FOUND = MeasuredStep(
    key="k", cuda=True, device="<b>RTX</b>", peak=9 * GIB, process=4 * GIB, seconds_per_step=2.0, steps=2,
    images_per_step=8, width=832, height=1216, images=2, caption_tokens=77,
)  # fmt: skip
ANSWER = {
    "verdict": "fits", "measured": asdict(FOUND), "needed": 10 * GIB, "free": 20 * GIB, "estimated": 8 * GIB,
    "cuda": True, "seconds": 7200.0, "hints": [], "took": 31.4,
}  # fmt: skip
ADVICE = "gradient_checkpointing = true: activations are computed twice instead of kept."


@pytest.fixture(autouse=True)
def no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Queue, "ensure_worker", lambda self: None)


def entry(status: Any = "finished", **values: Any) -> Entry:
    return Entry(job=Job(id="j", kind="fit", title="t"), status=status, **values)


def made(ui: Ui) -> tuple[FitPanel, gr.Textbox, list[TrainConfig]]:
    """A panel on a page of its own; the settings that the form is said to hold go into the list."""
    panel, held = FitPanel(ui), []
    with gr.Blocks(analytics_enabled=False):
        problem = gr.Textbox()
        panel.place()
        panel.wire({}, problem, lambda data: held[0])
    return panel, problem, held


def settings(folder: Path, **values: Any) -> TrainConfig:
    return TrainConfig(base_model_path="b", train_data_dir="d", output_dir=str(folder), output_name="hero", **values)


@pytest.mark.parametrize(
    ("lang", "words"),
    [
        ("en", ["Fits, as tried", "9.0 GiB of GPU memory (estimated: 8.0)", "2 s a step, 4 images a second",
                "at most 2 h 00 min", "2 of 832 × 1216 px, captions of 77 tokens"]),
        ("zh", ["实测放得下", "训练实测占用显存 9.0 GiB", "每步 2 秒", "2 小时 00 分", "832 × 1216 像素"]),
    ],
)  # fmt: skip
def test_what_was_measured_is_told(lang: Lang, words: list[str], tmp_path: Path) -> None:
    html = render_fit(entry(result=ANSWER), make_ui(tmp_path, lang=lang))
    assert all(word in html for word in words) and "<b>RTX" not in html and "&lt;b&gt;" in html


@pytest.mark.parametrize(("lang", "advice"), [("en", ADVICE), ("zh", "开启梯度检查点")])
def test_what_does_not_fit_comes_with_advice(lang: Lang, advice: str, tmp_path: Path) -> None:
    ui, lacks = make_ui(tmp_path, lang=lang), {**ANSWER, "verdict": "no", "measured": None, "hints": [ADVICE]}
    html = render_fit(entry(result=lacks), ui)
    assert ui.t("fit.verdict.no") in html and advice in html and "8.0 GiB" in html
    on_cpu = {**ANSWER, "verdict": "tight", "measured": {**asdict(FOUND), "cuda": False}, "free": None, "seconds": None}
    html = render_fit(entry(result=on_cpu), ui)
    assert ui.t("fit.verdict.tight") in html and ui.t("fit.whole", duration="x")[:6] not in html


@pytest.mark.parametrize(
    ("status", "values", "words"),
    [
        ("waiting", {}, "Waiting for its turn"),
        ("running", {"phase": "trying a step"}, "Checking… (trying a step)"),
        ("stopping", {}, "Checking…"),
        ("stopped", {}, "was stopped"),
        ("failed", {"code": "x", "message": "<i>bad", "hints": ("Do this.",)}, "&lt;i&gt;bad"),
    ],
)
def test_every_state_has_its_sentence(status: str, values: dict[str, Any], words: str, tmp_path: Path) -> None:
    assert words in render_fit(entry(status, **values), make_ui(tmp_path))


def test_the_job_holds_the_settings_and_occupies_one_device(tmp_path: Path) -> None:
    gpus = tuple(Gpu(index=n, name="RTX", total_mib=9, free_mib=9) for n in (0, 1))
    for machine, config, wanted in (
        (NO_GPU, settings(tmp_path), (("cpu",), 1)),
        (card(20), settings(tmp_path, device="cpu"), (("cpu",), 1)),
        (Machine(gpus=gpus), settings(tmp_path), (("gpu:0",), 2)),
        (Machine(gpus=gpus), settings(tmp_path, device="cpu"), (("cpu",), 1)),
        (Machine(gpus=gpus), settings(tmp_path, gpus="1"), (("gpu:1",), 1)),
    ):
        ui = make_ui(tmp_path, machine)
        job = ui.queue.entry(ask(ui, config)).job
        assert (job.resources, job.spec["cards"]) == wanted and job.title == "Check fit: hero"
        assert load_config(JobDir(ui.workspace.jobs / job.id).config_file) == config


def test_one_check_at_a_time_and_it_can_be_stopped(tmp_path: Path) -> None:
    ui = make_ui(tmp_path)
    panel, problem, held = made(ui)
    held.append(settings(tmp_path))
    shown = panel._asked({problem: ""})
    assert "Waiting" in shown[panel._answer] and not shown[panel._check]["interactive"]
    assert shown[panel._stop]["visible"] and shown[panel._timer].active
    assert not panel._allowed("")[0]["interactive"]
    assert panel._looked({panel._seen: shown[panel._seen], problem: ""}) == gr.skip()
    with pytest.raises(UserError, match="at work already"):
        panel._asked({problem: ""})
    stopped = panel._stopped()
    assert "was stopped" in stopped[panel._answer] and stopped[panel._check]["interactive"]
    assert not stopped[panel._timer].active and panel._allowed("")[0]["interactive"]


def test_settings_with_problems_cannot_be_checked_and_the_page_says_why(tmp_path: Path) -> None:
    panel, problem, _ = made(make_ui(tmp_path))
    update, why = panel._allowed("2 problems <to solve>")
    assert not update["interactive"] and "2 problems &lt;to solve&gt;" in why and panel._allowed("")[1] == ""
    assert panel._looked({panel._seen: "", problem: "1 problem"}) == gr.skip()
    assert not panel._shown(None, "1 problem")[panel._check]["interactive"]


@pytest.mark.parametrize(("peak", "verdict"), [(6, "Fits"), (30, "Does not fit")])
def test_the_forecast_follows_the_measured_step(peak: int, verdict: str, tmp_path: Path) -> None:
    ui = make_ui(tmp_path, card(20))
    values = {
        "base_model_path": str(TINY_BASE),
        "train_data_dir": str(make_dataset(tmp_path / "data" / "5_x").parent),
    }
    form = to_form({**default_values(ui.workspace), **values, "resolution": 256})
    config = parse_config(values_from(form))
    device = device_name(config, card(20), cuda=True)
    key = fit_key(config, work_of(config, read_facts(config)), read_base(config).transformer, device)
    keep(fit_folder(config), MeasuredStep(**{**asdict(FOUND), "key": key, "peak": peak * GIB}))
    known = DiskFacts()
    report = settled(lambda: check(form, known, ui), lambda found: found.counting)
    html = render(report, ui)
    assert f"measured: {peak}.0 GiB" in html and "at most" in html and f">{verdict}<" in html
    assert report.fits[0].fits is (verdict == "Fits") and report.forecast.seconds > 0
