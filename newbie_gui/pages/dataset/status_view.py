"""What the jobs on a data set are doing, and what the last import refused."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from newbie_gui.pages.html import bar, bullets, button, note
from newbie_gui.pages.ui import Ui
from trainer_core.jobs.queue import Entry

_DETAILED = frozenset({
    "duplicate", "duplicate_captioned", "has_caption", "zip_entries", "zip_size", "zip_broken", "caption_too_long",
})  # fmt: skip
# So many imports are told of.
_MOST = 4


def render_status(ui: Ui, jobs: Sequence[Entry], dismissed: str) -> Markup:
    """Jobs at work with their progress, then how the imports ended that came after the ``dismissed`` one (its id): the
    newest, and those before of which somebody has to know.

    ``jobs``: the newest first.
    """
    parts = [_active(ui, entry) for entry in jobs if entry.active]
    ended = [entry for entry in jobs if not entry.active]
    # A job's id begins with its time.
    imports = [entry for entry in ended if entry.job.kind == "import" and entry.job.id > dismissed]
    earlier = [entry for entry in imports[1:] if entry.status != "finished" or entry.result.get("refused")]
    parts += [_import_ended(ui, entry) for entry in [*imports[:1], *earlier][:_MOST]]
    if ended and ended[0].job.kind == "index" and ended[0].status == "failed":
        parts.append(_failed(ui, ended[0], "dataset.status.index_failed"))
    return Markup('<div class="ds-status">{}</div>').format(Markup("").join(parts))


def _active(ui: Ui, entry: Entry) -> Markup:
    title = ui.t(f"dataset.status.{entry.job.kind}")
    if entry.status == "waiting":
        return note("", title, ui.t("dataset.status.waiting"))
    figures = ui.t.phase(entry.phase)
    if entry.total:
        figures = ui.t("queue.phase", phase=figures, done=entry.done, total=entry.total)
    drawn = bar(entry.done, entry.total, title)
    return note("", title, drawn, figures, button("stop", entry.job.id, ui.t("dataset.status.stop")))


def _import_ended(ui: Ui, entry: Entry) -> Markup:
    if entry.status == "failed":
        return _failed(ui, entry, "dataset.status.import_failed")
    if entry.status in ("stopped", "cancelled"):
        return _closable(ui, entry, "warning", ui.t("dataset.status.import_stopped"))
    result = entry.result
    counts = {name: int(result.get(name, 0)) for name in ("added", "captions", "refused")}
    text = ui.t("dataset.status.imported", **counts)
    if not counts["refused"]:
        return _closable(ui, entry, "good", text)
    return _closable(ui, entry, "warning", text, _refusals(ui, result.get("list", ()), counts["refused"]))


def _refusals(ui: Ui, refused: Any, total: int) -> Markup:
    items = [one for one in refused if isinstance(one, Mapping)] if isinstance(refused, Sequence) else []
    rows = bullets(
        (Markup("<b>{}</b>: {}").format(one.get("name", ""), _reason(ui, one)) for one in items), "ds-refused"
    )
    more = Markup("")
    if total > len(items):
        more = Markup("<p>{}</p>").format(ui.t("dataset.status.more", count=total - len(items)))
    title = ui.t("dataset.status.refused", count=total)
    return Markup("<details open><summary>{}</summary>{}{}</details>").format(title, rows, more)


def _reason(ui: Ui, refused: Mapping[str, Any]) -> str:
    reason, detail = str(refused.get("reason", "")), str(refused.get("detail", ""))
    key = f"dataset.refused.{reason}"
    if key not in ui.t:
        return f"{reason} {detail}".strip()
    if reason == "zip_broken":
        detail = ui.translate(detail)
    return ui.t(key, detail=detail) if reason in _DETAILED else ui.t(key)


def _failed(ui: Ui, entry: Entry, key: str) -> Markup:
    hints = bullets(map(ui.translate, entry.hints))
    return _closable(ui, entry, "error", ui.t(key), ui.translate(entry.message), hints)


def _closable(ui: Ui, entry: Entry, kind: str, *parts: str) -> Markup:
    return note(kind, *parts, button("dismiss", entry.job.id, ui.t("dataset.status.dismiss")))
