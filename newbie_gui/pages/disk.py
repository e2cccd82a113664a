"""The Disk tab: what takes how much room, and a button for each part that can give some back."""

import shutil
from collections.abc import Sequence
from typing import Any

import gradio as gr
from markupsafe import Markup

from newbie_gui.disk_use import CLEANABLE, IN_USE, PartUsage, clean, measure
from newbie_gui.formatting import gib, size_text
from newbie_gui.pages.html import note, table
from newbie_gui.pages.ui import ACTION, Ui
from trainer_core.jobs.queue import Entry


def build(ui: Ui) -> None:
    """Place the tab's contents; call it inside its gr.Tab."""
    sizes = gr.HTML(elem_id="disk-table")
    measured = gr.Button(ui.t("frame.disk.measure"), elem_id="disk-measure")
    choices = [(ui.t(f"frame.disk.clean.{part}"), part) for part in CLEANABLE]
    part = gr.Radio(choices, label=ui.t("frame.disk.choose"), elem_id="disk-part")
    ask = gr.Button(ui.t("frame.disk.clean"), elem_id="disk-clean")
    with gr.Column(visible=False, elem_id="disk-question", elem_classes="question") as question:
        what = gr.HTML()
        with gr.Row():
            sure = gr.Button(ui.t("frame.disk.sure"), variant="stop", elem_id="disk-sure")
            back = gr.Button(ui.t("frame.cancel"), elem_id="disk-cancel")
    gr.Markdown(ui.t("frame.disk.where"))

    def asking(chosen: str = "") -> tuple[Any, ...]:
        """The question whether to clean ``chosen`` up, in the words of the choice; "" takes it back."""
        words = str(note("warning", ui.t(f"frame.disk.clean.{chosen}"))) if chosen else ""
        return gr.update(visible=bool(chosen)), words

    def asked(chosen: object) -> tuple[Any, ...]:
        if isinstance(chosen, str) and chosen in CLEANABLE:
            return asking("" if _in_use(ui, chosen) else chosen)
        gr.Warning(ui.t("frame.disk.none"))
        return asking()

    def shown() -> str:
        return str(render(ui, measure(ui.workspace)))

    def cleaned(chosen: object) -> tuple[Any, ...]:
        if not isinstance(chosen, str) or chosen not in CLEANABLE:
            # No part is chosen: only a call from outside can say so.
            return (gr.skip(), *asking())
        before = sum(use.bytes for use in measure(ui.workspace))
        if _in_use(ui, chosen):
            return (gr.skip(), *asking())
        if chosen == "jobs":
            ui.queue.clean(keep=20)
        clean(ui.workspace, chosen, needed=arriving(ui.queue.entries()))
        after = measure(ui.workspace)
        gr.Info(ui.t("frame.disk.cleaned", size=size_text(before - sum(use.bytes for use in after))))
        return (str(render(ui, after)), *asking())

    asks = [question, what]
    measured.click(ui.guarded(shown), None, sizes, **ACTION)
    ask.click(asked, part, asks, **ACTION)
    # Another choice would be cleaned up on the answer to the question about the one before.
    gr.on([back.click, part.input], asking, None, asks, **ACTION)
    sure.click(ui.guarded(cleaned), part, [sizes, *asks], **ACTION)


def _in_use(ui: Ui, part: str) -> bool:
    """Whether a job may need the part; then it is said."""
    if part in IN_USE and any(entry.at_work for entry in ui.queue.entries()):
        gr.Warning(ui.t("frame.disk.busy"))
        return True
    return False


def arriving(entries: Sequence[Entry]) -> list[str]:
    """The uploaded files that an import which is not done will take in."""
    imports = [entry.job for entry in entries if entry.active and entry.job.kind == "import"]
    return [file for job in imports for file in job.spec["files"]]


def render(ui: Ui, uses: Sequence[PartUsage]) -> Markup:
    """The table of sizes."""
    free = shutil.disk_usage(ui.workspace.root).free
    intro = ui.t("frame.disk.intro", folder=ui.workspace.root, free=gib(free))
    rows = [(ui.t(f"frame.disk.{use.part}"), size_text(use.bytes), use.entries) for use in uses]
    heads = [ui.t(f"frame.disk.{key}") for key in ("kind", "size", "items")]
    return Markup("<p>{}</p>{}").format(intro, table(heads, rows))
