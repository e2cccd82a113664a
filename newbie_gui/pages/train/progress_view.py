"""The line of progress: state, phase or step with a bar, and the facts beside it."""

from markupsafe import Markup

from newbie_gui.formatting import date, duration, figure
from newbie_gui.pages.html import bar, note
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.progress import Progress
from newbie_gui.runs.store import Row


def render(ui: Ui, row: Row, progress: Progress) -> Markup:
    state = ui.t(f"train.state.{row.state}")
    head = Markup('<h2 class="run-title">{} <span class="badge state-{}">{}</span></h2>').format(
        row.name, row.state, state
    )
    facts = Markup("").join(
        Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(ui.t(f"train.fact.{key}"), value)
        for key, value in _facts(ui, row, progress)
    )
    where = _bar(ui, row, progress) + _silence(ui, progress)
    return Markup('{}{}<dl class="facts">{}</dl>').format(head, where, facts)


def _silence(ui: Ui, progress: Progress) -> Markup:
    if progress.halted:
        sentence = ui.t("train.progress.halted")
    elif progress.silent_seconds is None:
        return Markup("")
    else:
        sentence = ui.t("train.progress.silent", time=duration(progress.silent_seconds, ui.t))
    return note("warning", sentence)


def _bar(ui: Ui, row: Row, progress: Progress) -> Markup:
    if not progress.phase:
        key = "train.progress.waiting" if row.state == "waiting" else "train.progress.none"
        return Markup('<p class="muted">{}</p>').format(ui.t(key)) if row.live else Markup("")
    if progress.phase == "steps":
        key = "train.progress.between" if progress.between else "train.progress.steps"
        text = ui.t(key, done=progress.done, total=progress.total, phase=ui.t.phase(progress.between))
    else:
        name = ui.t.phase(progress.phase)
        counted = progress.total > 1
        text = ui.t("queue.phase", phase=name, done=progress.done, total=progress.total) if counted else name
    percent = f" ({100 * progress.done // progress.total} %)" if progress.total > 1 else ""
    return Markup('<div class="run-progress">{} <span>{}{}</span></div>').format(
        bar(progress.done, progress.total, text), text, percent
    )


def _facts(ui: Ui, row: Row, progress: Progress) -> list[tuple[str, str]]:
    t = ui.t
    found: list[tuple[str, str]] = []
    if progress.epoch is not None:
        found.append(("epoch", str(progress.epoch)))
    if progress.smoothed is not None:
        found.append(("loss", figure(progress.smoothed)))
    if progress.seconds_per_step is not None:
        pace, images = f"{progress.seconds_per_step:.2f}", figure(progress.images_per_second)
        found.append(("speed", t("train.fact.speed_value", seconds=pace, images=images)))
    if progress.eta_seconds is not None:
        found.append(("eta", duration(progress.eta_seconds, t)))
    if progress.elapsed_seconds is not None:
        found.append(("elapsed", duration(progress.elapsed_seconds, t)))
    found += _memory(ui, progress)
    if not row.live:
        found.append(("changed", date(row.time)))
    found.append(("folder", str(row.folder)))
    return found


def _memory(ui: Ui, progress: Progress) -> list[tuple[str, str]]:
    found = []
    if progress.memory_used_gib is not None and progress.memory_total_gib is not None:
        used, total = f"{progress.memory_used_gib:.1f}", f"{progress.memory_total_gib:.1f}"
        key = "memory_gpu" if progress.gpu else "memory_main"
        found.append((key, ui.t("train.fact.memory_value", used=used, total=total)))
    if progress.temperature is not None:
        found.append(("temperature", f"{progress.temperature} °C"))
    return found
