"""The components of the Train tab and where they stand; no behaviour."""

from collections.abc import Mapping
from dataclasses import dataclass

import gradio as gr
from gradio.blocks import Block

from newbie_gui.pages.html import CLICKS
from newbie_gui.pages.train import plot_view, samples_view
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.store import STATES

BUTTONS = ("save_stop", "stop_now", "save_now", "sample_now", "resume", "duplicate", "delete")


@dataclass(frozen=True, kw_only=True)
class Plots:
    """The curves and what chooses them."""

    heading: gr.Markdown
    loss: gr.LinePlot
    rate: gr.LinePlot
    health: gr.HTML
    table: gr.HTML
    smoothing: gr.Slider
    first: gr.Number
    last: gr.Number
    everything: gr.Button
    log: gr.Checkbox
    other: gr.Dropdown


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Every component that a handler reads or changes."""

    timer: gr.Timer
    selected: gr.Textbox
    stamps: gr.Textbox
    list: gr.HTML
    text: gr.Textbox
    state: gr.Dropdown
    nothing: gr.Markdown
    shown: gr.Column
    progress: gr.HTML
    buttons: Mapping[str, gr.Button]
    sure: gr.Group
    sure_text: gr.Markdown
    yes: gr.Button
    no: gr.Button
    failure: gr.HTML
    plots: Plots
    samples: gr.HTML
    files: gr.HTML
    search: gr.Textbox
    log: gr.HTML
    report: gr.Button
    report_text: gr.Textbox
    lora: gr.Textbox

    @property
    def inputs(self) -> frozenset[Block]:
        """What tells which run is looked at and how."""
        plots = self.plots
        chosen = (plots.smoothing, plots.first, plots.last, plots.log, plots.other)
        return frozenset((self.selected, self.stamps, self.text, self.state, self.search, *chosen))


def run_list(ui: Ui) -> tuple[gr.Textbox, gr.Dropdown, gr.HTML]:
    t = ui.t
    gr.Markdown(f"### {t('train.runs.heading')}")
    with gr.Row(equal_height=True):
        text = gr.Textbox(label=t("train.runs.search"), elem_id="train-find", min_width=120, scale=2)
        states = [(t("train.runs.all"), ""), *((t(f"train.state.{state}"), state) for state in STATES)]
        state = gr.Dropdown(states, value="", label=t("train.runs.state"), elem_id="train-state", min_width=110)
    return text, state, gr.HTML(elem_id="train-runs", js_on_load=CLICKS)


def run_buttons(ui: Ui) -> dict[str, gr.Button]:
    styles = {"save_stop": "primary", "delete": "stop"}
    with gr.Row(elem_classes="run-buttons"):
        return {
            name: gr.Button(
                ui.t(f"train.{name}"),
                variant=styles.get(name, "secondary"),  # type: ignore[arg-type]
                size="sm",
                interactive=False,
                min_width=110,
                elem_id=f"train-{name.replace('_', '-')}",
            )
            for name in BUTTONS
        }


def curves(ui: Ui) -> Plots:
    t = ui.t
    called = plot_view.names(ui)
    heading = gr.Markdown(plot_view.heading(ui, log=False), elem_id="train-loss-heading")
    loss = gr.LinePlot(
        x=called["step"], y=called["loss"], color=called["series"], color_map=plot_view.colours(ui), height=300,
        tooltip="all", x_axis_format="d", y_axis_format=".3~g", elem_id="train-loss",
        label=t("train.loss.heading"), show_label=False, y_title=called["loss"],
    )  # fmt: skip
    health = gr.HTML(elem_id="train-health")
    with gr.Accordion(t("train.loss.options"), open=False, elem_id="train-curve-settings"):
        with gr.Row():
            smoothing = gr.Slider(
                0, 0.999, value=0.98, step=0.001, label=t("train.loss.smoothing"), info=t("train.loss.smoothing_help"),
                elem_id="train-smoothing",
            )  # fmt: skip
            log = gr.Checkbox(False, label=t("train.loss.log_scale"), elem_id="train-log-scale", min_width=120)
            other = gr.Dropdown(
                [(t("train.loss.compare_none"), "")], value="", label=t("train.loss.compare"), elem_id="train-compare",
                allow_custom_value=True,
            )  # fmt: skip
        with gr.Row():
            first = gr.Number(
                0, label=t("train.loss.first"), info=t("train.loss.range_help"), minimum=0, precision=0,
                elem_id="train-first", min_width=120,
            )  # fmt: skip
            last = gr.Number(
                0, label=t("train.loss.last"), info=t("train.loss.last_help"), minimum=0, precision=0,
                elem_id="train-last", min_width=120,
            )  # fmt: skip
            everything = gr.Button(t("train.loss.all"), size="sm", elem_id="train-all-steps", min_width=120)
        gr.Markdown(f"#### {t('train.loss.rate_heading')}")
        rate = gr.LinePlot(
            x=called["step"], y=called["rate"], height=180, tooltip="all", elem_id="train-rate",
            label=t("train.loss.rate_heading"), show_label=False, x_axis_format="d", y_axis_format=".1e",
        )  # fmt: skip
    table = gr.HTML(elem_id="train-table")
    return Plots(
        heading=heading, loss=loss, rate=rate, health=health, table=table, smoothing=smoothing, first=first, last=last,
        everything=everything, log=log, other=other,
    )  # fmt: skip


def results(ui: Ui) -> tuple[gr.HTML, gr.HTML]:
    gr.Markdown(f"### {ui.t('train.samples.heading')}")
    samples = gr.HTML(elem_id="train-samples", js_on_load=samples_view.SCRIPT)
    gr.Markdown(f"### {ui.t('train.files.heading')}")
    files = gr.HTML(elem_id="train-files", js_on_load=CLICKS)
    return samples, files


def log_and_report(ui: Ui) -> tuple[gr.Textbox, gr.HTML, gr.Button, gr.Textbox]:
    t = ui.t
    with gr.Accordion(t("train.log.heading"), open=False, elem_id="train-log-box"):
        search = gr.Textbox(label=t("train.log.search"), elem_id="train-log-search")
        log = gr.HTML(elem_id="train-log")
    report = gr.Button(t("train.report"), size="sm", elem_id="train-report", elem_classes="narrow-button")
    text = gr.Textbox(
        label=t("train.report.label"), lines=8, max_lines=16, visible=False, buttons=["copy"], interactive=False,
        elem_id="train-report-text",
    )  # fmt: skip
    return search, log, report, text
