"""The queue on the page: all jobs of the workspace in words, with buttons to reorder, cancel, pause and tidy up."""

from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import gradio as gr

from newbie_gui.pages.html import CLICKS
from newbie_gui.pages.train.queue_html import render_ended, render_now
from newbie_gui.pages.ui import ACTION, QUIET, Ui, hidden, news, said
from trainer_core.contracts.errors import UserError
from trainer_core.jobs.queue import Queue

_TICK_S = 2.0
# Where the list is drawn anew, the keyboard's focus stays on the same button, or on another one of its row.
_KEEP_FOCUS = """
let last = null;
element.addEventListener('focusin', (event) => {
  const button = event.target.closest('button[data-do]');
  last = button ? {do: button.dataset.do, on: button.dataset.on} : null;
});
element.addEventListener('focusout', (event) => { if (event.relatedTarget) last = null; });
watch('value', () => {
  const active = document.activeElement;
  // Redrawing may keep the focused button and make it another job's.
  if (!last || (active && active !== document.body && !element.contains(active))) return;
  const alive = [...element.querySelectorAll('button[data-do]:not([disabled])')];
  const row = alive.filter((b) => b.dataset.on === last.on);
  const next = row.find((b) => b.dataset.do === last.do) || row[0];
  if (next) next.focus();
});
"""


def build(ui: Ui) -> None:
    """Place the panel, which fills and refreshes itself; call it where it shall stand."""
    now = gr.HTML(elem_id="queue-now", js_on_load=CLICKS + _KEEP_FOCUS)
    with gr.Accordion(ui.t("queue.ended"), open=False, elem_id="queue-ended-fold"):
        ended = gr.HTML(elem_id="queue-ended", js_on_load=CLICKS + _KEEP_FOCUS)
    stamp = hidden("queue-stamp")
    outputs = [now, ended, stamp]

    def refresh(seen: str) -> tuple[Any, ...]:
        ui.queue.ensure_worker()
        return shown(ui, seen)

    def fill() -> tuple[Any, ...]:
        return shown(ui, "")

    def act(event: gr.EventData) -> tuple[Any, ...]:
        carry_out(ui, said(event, "do"), said(event, "on"))
        return shown(ui, "")

    gr.on(None, fill, None, outputs, **QUIET)
    gr.Timer(_TICK_S).tick(refresh, stamp, outputs, **QUIET)
    for view in (now, ended):
        view.select(ui.guarded(act), None, outputs, **ACTION)


def shown(ui: Ui, seen: str | None) -> tuple[Any, ...]:
    """Both lists and their stamp; what the browser has by the stamp ``seen`` is skipped."""
    entries = ui.queue.entries()
    return news(seen, render_now(ui.t, entries, ui.queue.paused()), render_ended(ui.t, entries))


def carry_out(ui: Ui, verb: str, job_id: str) -> None:
    """What a click on a button asks for. Raises UserError."""
    if verb in ("pause", "continue"):
        ui.queue.set_paused(verb == "pause")
        return
    if verb not in _ACTIONS:
        raise UserError("queue_request_unknown", ui.t("queue.bad_request"))
    _ACTIONS[verb](ui.queue, job_id)


_Action = Callable[[Queue, str], None]
_ACTIONS: MappingProxyType[str, _Action] = MappingProxyType({
    "up": lambda queue, job_id: queue.move(job_id, -1),
    "down": lambda queue, job_id: queue.move(job_id, 1),
    "cancel": lambda queue, job_id: queue.cancel(job_id),
    "stop": lambda queue, job_id: queue.stop(job_id),
    "forget": lambda queue, job_id: queue.forget(job_id),
})  # fmt: skip
