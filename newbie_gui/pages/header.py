"""The line on top of every tab: the machine, the chosen strategy, the running job with a jump to it, the language."""

import gradio as gr
from markupsafe import Markup

from newbie_gui.formatting import COUNTED_IN_BYTES, MIB, gib
from newbie_gui.pages.config.strategy import plan_for, title_of
from newbie_gui.pages.html import bar
from newbie_gui.pages.ui import QUIET, Ui, hidden, news
from newbie_gui.texts import LANGS
from trainer_core.planning.hardware import Machine

_TICK_S = 2.0
_LANGUAGE_NAMES = ("English", "中文")


def build(ui: Ui) -> None:
    """Place the header; call it at the top of the page."""
    view = gr.HTML(render(ui), elem_id="frame-header", padding=False)
    stamp = hidden("frame-header-stamp")

    gr.Timer(_TICK_S).tick(lambda seen: news(seen, render(ui)), stamp, [view, stamp], **QUIET)


def render(ui: Ui) -> Markup:
    """The header's HTML, as of now."""
    parts = Markup('<div class="header-facts"><span class="header-machine">{}</span> ').format(
        machine_text(ui, ui.machine.now())
    )
    strategy = Markup('<span class="header-strategy">{}</span></div>').format(
        ui.t("frame.strategy", title=strategy_title(ui))
    )
    return Markup('<div class="header"><span class="header-title">{}</span>{}{}{}{}</div>').format(
        ui.t("frame.title"), parts, strategy, _job(ui), _languages(ui)
    )


def machine_text(ui: Ui, machine: Machine) -> str:
    """The GPU with the most free memory, or the lack of one, with its memory."""
    if not machine.gpus:
        free, total = machine.memory_free_mib * MIB, machine.memory_total_mib * MIB
        return ui.t("frame.machine.cpu", free=gib(free), total=gib(total))
    best = max(machine.gpus, key=lambda gpu: gpu.free_mib)
    text = ui.t("frame.machine.gpu", name=best.name, free=gib(best.free_mib * MIB), total=gib(best.total_mib * MIB))
    others = len(machine.gpus) - 1
    return f"{text} ({ui.t('frame.machine.more', count=others)})" if others else text


def strategy_title(ui: Ui) -> str:
    """The strategy that was chosen last, or the one that suits this machine."""
    return title_of(plan_for(ui.machine.now(), ui.remember.get("preset")).preset, ui)


def _job(ui: Ui) -> Markup:
    entries = ui.queue.entries()
    running = [entry for entry in entries if entry.at_work]
    waiting = sum(entry.status == "waiting" for entry in entries)
    words = [ui.t("frame.job.waiting", count=waiting)] if waiting else []
    if waiting and ui.queue.paused():
        words.append(ui.t("frame.job.paused"))
    if not running:
        return Markup('<div class="header-job">{}</div>').format(" · ".join([ui.t("frame.job.none"), *words]))
    first = running[0]
    figures = f"{first.done}/{first.total}" if first.total else ""
    if first.total > COUNTED_IN_BYTES:
        figures = f"{100 * first.done // first.total} %"
    title = ui.t("frame.job.running", title=first.job.title)
    drawn = bar(first.done, first.total, title)
    link = Markup('<a href="#train">{}</a>').format(ui.t("frame.job.show"))
    return Markup('<div class="header-job">{} {} {} {}</div>').format(" · ".join([title, *words]), drawn, figures, link)


def _languages(ui: Ui) -> Markup:
    """Links, each in its own language, so that whoever landed in the wrong one finds the way."""
    links = [
        Markup('<a href="/lang/{}" lang="{}"{}>{}</a>').format(
            lang, lang, Markup(' aria-current="true"') if lang == ui.lang else "", name
        )
        for lang, name in zip(LANGS, _LANGUAGE_NAMES, strict=True)
    ]
    return Markup('<nav class="header-languages" aria-label="{}">{}</nav>').format(
        ui.t("frame.language"), Markup(" ").join(links)
    )
