"""What a first visitor reads: four steps, and the demo one click away."""

from typing import Any

import gradio as gr
from gradio.events import Dependency
from markupsafe import Markup

from newbie_gui.demo import start_demo
from newbie_gui.pages.ui import ACTION, QUIET, Ui
from newbie_gui.remember import SHOWN_RUN
from newbie_gui.runs.store import key_of

_STEPS = ("dataset", "config", "train", "merge")
_HIDDEN = "guide_hidden"


def build(ui: Ui, page: gr.Blocks) -> Dependency:
    """Place the guide; open until it was hidden once or the demo was started. Returns what follows the demo's start."""
    with gr.Accordion(ui.t("frame.guide.title"), open=True, elem_id="guide") as box:
        gr.HTML(str(render(ui)))
        with gr.Row():
            demo = gr.Button(ui.t("frame.guide.demo"), variant="primary", elem_id="guide-demo")
            hide = gr.Button(ui.t("frame.guide.hide"), elem_id="guide-hide")
        gr.Markdown(ui.t("frame.guide.demo_help"))

    def begin() -> Any:
        run = start_demo(ui.services, ui.t("frame.guide.demo_title"))
        ui.remember.set(SHOWN_RUN, key_of(run))
        ui.remember.set(_HIDDEN, True)
        gr.Info(ui.t("frame.guide.demo_started"))
        return gr.update(open=False)

    def hidden() -> Any:
        ui.remember.set(_HIDDEN, True)
        return gr.update(open=False)

    def opened() -> Any:
        return gr.update(open=not ui.remember.get(_HIDDEN))

    to_train = "() => { location.hash = '#train'; }"
    begun = demo.click(ui.guarded(begin), None, box, **ACTION)
    begun.success(None, None, None, js=to_train)
    hide.click(ui.guarded(hidden), None, box, **ACTION)
    page.load(opened, None, box, **QUIET)
    return begun


def render(ui: Ui) -> Markup:
    """The four steps, each with a link to its tab."""
    items = [
        Markup('<li><a href="#{}">{}</a> {}</li>').format(tab, ui.t(f"frame.tab.{tab}"), ui.t(f"frame.guide.{tab}"))
        for tab in _STEPS
    ]
    return Markup('<ol class="guide-steps">{}</ol>').format(Markup("").join(items))
