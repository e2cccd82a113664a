"""The Train tab: start and queue, the list of runs, and everything about the run that is shown."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr
from gradio.blocks import Block
from gradio.events import Dependency
from markupsafe import Markup

from newbie_gui.pages.config.tab import ConfigTab
from newbie_gui.pages.html import CLICKS, note
from newbie_gui.pages.train import parts as layout
from newbie_gui.pages.train import queue_panel
from newbie_gui.pages.train.handlers import Handlers
from newbie_gui.pages.train.parts import Parts
from newbie_gui.pages.train.renderer import LIVE_S, TrainRenderer
from newbie_gui.pages.train.request import Values
from newbie_gui.pages.ui import ACTION, QUIET, Ui, hidden, on_news, said

_COPY = "(text) => { if (text && navigator.clipboard) navigator.clipboard.writeText(text).catch(() => {}); }"
_TO_CONFIG = "() => { location.hash = '#config'; }"
_TO_MERGE = "() => { location.hash = '#merge'; }"


@dataclass(frozen=True, kw_only=True)
class TrainTab:
    """What others need of the tab.

    Attributes:
        lora: hidden; the path of the LoRA file for which "Use for merge" was pressed last.
        picked: follows each such press; wire with ``picked.success``.
        load: fills the tab when a page is opened; wire it with ``inputs`` and ``outputs`` to the page's load event.
        suited: the same, with the run that a fresh page would show.
    """

    lora: gr.Textbox
    picked: Dependency
    load: Callable[[Values], dict[Block, Any]]
    suited: Callable[[Values], dict[Block, Any]]
    inputs: set[Block]
    outputs: list[Block]


@dataclass(frozen=True, kw_only=True)
class _Starting:
    start: gr.Button
    queue_up: gr.Button
    why_not: gr.HTML
    cards: gr.CheckboxGroup


@dataclass(frozen=True, kw_only=True)
class _Changing:
    load: gr.Button
    check: gr.Button
    table: gr.HTML
    go: gr.Button


def build(ui: Ui, form: ConfigTab) -> TrainTab:
    """Place the tab's contents; call it inside its gr.Tab."""
    timer = gr.Timer(LIVE_S)
    selected, stamps, lora = (hidden(f"train-{name}") for name in ("selected", "stamps", "lora"))
    with gr.Row(elem_classes="train-columns"):
        with gr.Column(scale=1, min_width=300):
            starting = _starting(ui)
            queue_panel.build(ui)
            text, state, runs = layout.run_list(ui)
        with gr.Column(scale=3, min_width=320):
            nothing = gr.Markdown(ui.t("train.none"), visible=False)
            with gr.Column(visible=False) as shown:
                progress = gr.HTML(elem_id="train-progress")
                buttons = layout.run_buttons(ui)
                with gr.Group(visible=False, elem_id="train-sure", elem_classes="question") as sure:
                    sure_text = gr.Markdown(elem_id="train-delete-question", padding=True)
                    with gr.Row():
                        yes = gr.Button(ui.t("train.delete.yes"), variant="stop", size="sm", elem_id="train-delete-yes")
                        no = gr.Button(ui.t("frame.cancel"), size="sm", elem_id="train-delete-no")
                failure = gr.HTML(elem_id="train-failure", js_on_load=CLICKS)
                plots = layout.curves(ui)
                samples, files = layout.results(ui)
                changing = _changing(ui)
                search, log, report, report_text = layout.log_and_report(ui)
    parts = Parts(
        timer=timer, selected=selected, stamps=stamps, list=runs, text=text, state=state, nothing=nothing, shown=shown,
        progress=progress, buttons=buttons, sure=sure, sure_text=sure_text, yes=yes, no=no, failure=failure,
        plots=plots, samples=samples, files=files, search=search, log=log, report=report, report_text=report_text,
        lora=lora,
    )  # fmt: skip
    show = TrainRenderer(ui, parts)
    outputs = _outputs(parts)
    _wire_refresh(parts, show, outputs)
    handlers = Handlers(ui, parts, show, form)
    _wire_buttons(ui, parts, handlers, outputs)
    picked = _wire_rows(ui, parts, handlers, outputs)
    _wire_form(ui, parts, handlers, form, outputs, starting=starting, changing=changing)
    return TrainTab(
        lora=lora, picked=picked, load=show.refresh, suited=partial(show.refresh, selected=""),
        inputs=set(parts.inputs), outputs=outputs,
    )  # fmt: skip


def _starting(ui: Ui) -> _Starting:
    t = ui.t
    named = {"start": t("train.start"), "queue": t("train.queue_up")}
    gr.Markdown(f"### {t('train.start.heading')}\n{t('train.start.help', **named)}")
    machine = ui.machine.now()
    cards = [(f"{gpu.index}: {gpu.name}", str(gpu.index)) for gpu in machine.gpus]
    free_first = sorted(machine.gpus, key=lambda gpu: -gpu.free_mib)
    usual = [str(gpu.index) for gpu in (machine.gpus if machine.joins_gpus else free_first[:1])]
    chosen = gr.CheckboxGroup(
        cards, value=usual, label=t("train.start.gpus"),
        info=t("train.start.gpus_help" if machine.joins_gpus else "train.start.one_gpu"),
        visible=len(cards) > 1, elem_id="train-gpus",
    )  # fmt: skip
    with gr.Row():
        start = gr.Button(t("train.start"), variant="primary", elem_id="train-start", min_width=120)
        queue_up = gr.Button(t("train.queue_up"), elem_id="train-queue", min_width=120)
    why_not = gr.HTML(elem_id="train-why-not")
    return _Starting(start=start, queue_up=queue_up, why_not=why_not, cards=chosen)


def _changing(ui: Ui) -> _Changing:
    t = ui.t
    with gr.Accordion(t("train.change.heading"), open=False, elem_id="train-change"):
        gr.Markdown(t("train.change.help"))
        with gr.Row():
            load = gr.Button(t("train.change.load"), size="sm", elem_id="train-change-load")
            check = gr.Button(t("train.change.check"), size="sm", elem_id="train-change-check")
        table = gr.HTML(elem_id="train-change-table")
        go = gr.Button(t("train.change.go"), size="sm", variant="primary", elem_id="train-change-go")
    return _Changing(load=load, check=check, table=table, go=go)


def _outputs(parts: Parts) -> list[Block]:
    plots = parts.plots
    return [
        parts.timer, parts.selected, parts.stamps, parts.list, parts.nothing, parts.shown, parts.progress,
        *parts.buttons.values(), parts.sure, parts.failure, plots.heading, plots.loss, plots.rate, plots.health,
        plots.table, plots.other, plots.first, plots.last, parts.samples, parts.files, parts.log, parts.report_text,
    ]  # fmt: skip


def _wire_refresh(parts: Parts, show: TrainRenderer, outputs: list[Block]) -> None:
    """The tick, and whatever changes what is looked at."""
    inputs, plots = set(parts.inputs), parts.plots

    on_news(parts.timer, show.refresh, inputs, outputs)
    gr.on(
        [plots.smoothing.release, plots.log.input, plots.first.change, plots.last.change, plots.other.input,
         parts.text.input, parts.state.input, parts.search.input],
        show.refresh, inputs, outputs, trigger_mode="always_last", **QUIET,
    )  # fmt: skip

    def dragged(event: gr.EventData) -> tuple[Any, Any]:
        # Not gr.SelectData, which fails before it can be asked where the browser says nothing.
        span = event._data.get("index") if isinstance(event._data, dict) else None
        if not isinstance(span, list | tuple) or len(span) != 2 or not all(map(_is_finite, span)):
            return gr.skip(), gr.skip()
        return max(0, round(span[0])), round(span[1])

    span = [plots.first, plots.last]
    plots.loss.select(dragged, None, span, **QUIET)
    gr.on([plots.loss.double_click, plots.everything.click], lambda: (0, 0), None, span, **QUIET)


def _wire_buttons(ui: Ui, parts: Parts, handlers: Handlers, outputs: list[Block]) -> None:
    inputs = set(parts.inputs)
    deeds: Mapping[str, Callable[[Values], Any]] = {
        "save_stop": lambda values: handlers.stop(values, now=False),
        "stop_now": lambda values: handlers.stop(values, now=True),
        "save_now": lambda values: handlers.request(values, "save"),
        "sample_now": lambda values: handlers.request(values, "sample"),
        "resume": handlers.resume,
    }
    for name, deed in deeds.items():
        parts.buttons[name].click(ui.guarded(deed), inputs, outputs, **ACTION)
    parts.buttons["delete"].click(ui.guarded(handlers.ask_delete), inputs, [parts.sure, parts.sure_text], **ACTION)
    parts.no.click(lambda: gr.update(visible=False), None, parts.sure, **QUIET)
    parts.yes.click(ui.guarded(handlers.delete), inputs, outputs, **ACTION)
    ready = parts.report.click(ui.guarded(handlers.report), inputs, parts.report_text, **ACTION)
    ready.then(None, parts.report_text, None, js=_COPY, **QUIET)


def _wire_rows(ui: Ui, parts: Parts, handlers: Handlers, outputs: list[Block]) -> Dependency:
    """Buttons inside the tables and lists. Returns what follows a LoRA that was picked for merging."""
    inputs = set(parts.inputs)

    def on_named(deed: Callable[[Values, str], Any]) -> Callable[..., Any]:
        def handler(values: Values, event: gr.EventData) -> Any:
            return deed(values, said(event, "on"))

        return ui.guarded(handler)

    def pin(values: Values, event: gr.EventData) -> Any:
        return handlers.pin(values, said(event, "on"), on=said(event, "do") == "pin")

    parts.list.select(on_named(handlers.select), inputs, outputs, **ACTION)
    parts.failure.select(on_named(handlers.apply), inputs, outputs, **ACTION)
    picked = parts.files.select(on_named(handlers.use_for_merge), inputs, parts.lora, **ACTION)
    picked.success(None, None, None, js=_TO_MERGE, **QUIET)
    parts.files.input(ui.guarded(pin), inputs, outputs, **ACTION)
    return picked


def _wire_form(
    ui: Ui, parts: Parts, handlers: Handlers, form: ConfigTab, outputs: list[Block], *, starting: _Starting,
    changing: _Changing,
) -> None:  # fmt: skip
    both = set(parts.inputs) | set(form.outputs)
    several = len(ui.machine.now().gpus) > 1

    def starter(front: bool) -> Callable[[Values], Any]:
        def begin(values: Values) -> Any:
            chosen = values.get(starting.cards)
            return handlers.start(values, list(chosen or []) if several else None, front=front)

        return begin

    def allowed(problem: str) -> tuple[Any, Any, str]:
        update = gr.update(interactive=not problem)
        return update, update, _why_not(ui, problem)

    # The click itself checks once more: another page may have changed the data meanwhile.
    form.start_problem.change(
        allowed, form.start_problem, [starting.start, starting.queue_up, starting.why_not], **QUIET
    )
    starting.start.click(ui.guarded(starter(True)), both | {starting.cards}, outputs, **ACTION)
    starting.queue_up.click(ui.guarded(starter(False)), both | {starting.cards}, outputs, **ACTION)
    fields = form.outputs
    duplicate = parts.buttons["duplicate"].click(ui.guarded(handlers.duplicate), set(parts.inputs), fields, **ACTION)
    loaded = changing.load.click(ui.guarded(handlers.load), set(parts.inputs), fields, **ACTION)
    for filled in (duplicate, loaded):
        filled.success(None, None, None, js=_TO_CONFIG, **QUIET)
    changing.check.click(ui.guarded(handlers.planned), both, changing.table, **ACTION)
    changing.go.click(ui.guarded(handlers.go_on), both, outputs, **ACTION)


def _why_not(ui: Ui, problem: str) -> str:
    if not problem:
        return ""
    link = Markup('<a href="#config">{}</a>').format(ui.t("train.start.to_settings"))
    return str(note("warning", "⚠", problem, link, role="status"))


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and -1e15 < value < 1e15
