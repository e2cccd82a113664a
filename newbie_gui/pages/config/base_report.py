"""The check of a base model and the job that makes one, as HTML; pure, every text is escaped by Markup.format."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from markupsafe import Markup

from newbie_gui.formatting import size_text
from newbie_gui.links import file_url
from newbie_gui.pages.html import Cell, bar, bullets, note, table
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.errors import UserError
from trainer_core.jobs.queue import Entry
from trainer_core.planning.base_check import BaseReport, PartReport

_PLANNED = (("size", "bytes"), ("have", "have"), ("free", "free"))


def render_report(report: BaseReport, ui: Ui) -> Markup:
    """One sentence, the parts as a table, and what to do about those that lack."""
    named = report.layout or any(part.path for part in report.parts)
    if not named and report.error is not None and report.error.code == "base_missing" and not _paths_given(report):
        body = note("", ui.t("base.report.none"))
    else:
        body = Markup("").join((_verdict(report, ui), _table(report.parts, ui)))
    return Markup('<section class="base-report" aria-label="{}">{}</section>').format(ui.t("base.report"), body)


def render_job(entry: Entry, ui: Ui) -> Markup:
    """How far the job is, or how it ended."""
    if entry.active:
        body = _active(entry, ui)
    elif entry.status == "finished":
        body = _finished(entry, ui)
    elif entry.status == "failed":
        error = UserError(entry.code, entry.message, entry.hints)
        body = note("error", _sentence("failed", entry, ui), _error(error, ui))
    else:
        kept = entry.job.kind == "download" and entry.status == "stopped"
        body = note("", _sentence(entry.status, entry, ui), ui.t("base.job.kept") if kept else "")
    return Markup('<div class="base-job" role="status">{}</div>').format(body)


def missing_bytes(result: Any) -> int:
    """How much room lacks for what a plan found; 0 where there is enough."""
    return max(0, int(result["bytes"]) - int(result["have"]) - int(result["free"]))


def _paths_given(report: BaseReport) -> bool:
    return any(part.error is not None for part in report.parts)


def _verdict(report: BaseReport, ui: Ui) -> Markup:
    if report.usable:
        words = ui.t("base.report.good", layout=ui.t(f"base.layout.{report.layout}"), size=size_text(report.size))
        return note("good", Markup('<strong role="status">✓ {}</strong>').format(words))
    head = Markup('<strong role="status">⚠ {}</strong>').format(ui.t("base.report.bad"))
    return note("error", head, *(_error(error, ui) for error in _distinct(report)))


def _distinct(report: BaseReport) -> Iterator[UserError]:
    """Every reason once: the base's own, then those of its parts."""
    told: set[str] = set()
    for error in (report.error, *(part.error for part in report.parts)):
        # A part that the base lacks says the same in other words.
        repeated = error is None or error.message in told or (error.code == "base_incomplete" and bool(told))
        if error is not None and not repeated:
            told.add(error.message)
            yield error


def _error(error: UserError, ui: Ui) -> Markup:
    message = Markup("<p>{}</p>").format(ui.translate(error.message))
    if not error.hints:
        return message
    hints = bullets(map(ui.translate, error.hints), "config-list")
    return message + Markup("<details><summary>{}</summary>{}</details>").format(ui.t("base.report.hints"), hints)


def _table(parts: Iterable[PartReport], ui: Ui) -> Markup:
    heads = [ui.t(f"base.report.{key}") for key in ("part", "state", "size", "where")]
    return table(heads, [_row(part, ui) for part in parts])


def _row(part: PartReport, ui: Ui) -> tuple[str | Cell, ...]:
    size = f"{size_text(part.size)} {part.dtype}".strip() if part.size else ""
    state = Cell(ui.t(f"base.state.{part.state}"), f"base-{part.state}")
    return ui.t(f"base.part.{part.part}"), state, size, Cell(part.path, "base-path")


def _active(entry: Entry, ui: Ui) -> Markup:
    if entry.status == "waiting":
        return note("", _sentence("waiting", entry, ui, position=entry.position))
    if entry.status == "stopping":
        return note("", _sentence("stopping", entry, ui))
    phase = ui.t.phase(entry.phase)
    if entry.total <= 1:
        return note("", _sentence("running", entry, ui, phase=phase))
    words = _sentence(
        "bytes", entry, ui, phase=phase, done=size_text(entry.done), total=size_text(entry.total),
        percent=f"{min(100 * entry.done / entry.total, 100):.0f}",
    )  # fmt: skip
    return note("", bar(entry.done, entry.total, words), words)


def _finished(entry: Entry, ui: Ui) -> Markup:
    result = entry.result
    if entry.job.spec.get("plan"):
        sizes = {key: size_text(int(result[name])) for key, name in _PLANNED}
        words = _sentence("plan", entry, ui, files=result["files"], **sizes)
        short = missing_bytes(result)
        if short:
            return note("error", words, ui.t("base.job.short", missing=size_text(short)))
        return note("good", words)
    words = _sentence("finished", entry, ui, size=size_text(int(result.get("bytes", 0))))
    output = Path(str(result.get("output", "")))
    if output.suffix != ".safetensors" or not output.is_relative_to(ui.workspace.models):
        return note("good", words)
    link = Markup('<a href="{}" download>{}</a>').format(
        file_url("models", output.relative_to(ui.workspace.models).as_posix()), ui.t("base.job.file")
    )
    return note("good", words, link)


def _sentence(key: str, entry: Entry, ui: Ui, **values: object) -> str:
    return ui.t(f"base.job.{key}", title=title_of(entry, ui), **values)


def title_of(entry: Entry, ui: Ui) -> str:
    """The job's name in this page's language, whichever page it was started on."""
    kind = "plan" if entry.job.spec.get("plan") else entry.job.kind
    return ui.t(f"base.title.{kind}", name=Path(str(entry.job.spec.get("output", ""))).name)
