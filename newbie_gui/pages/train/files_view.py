"""Checkpoints and LoRA files of a run: one row a step, with what can be done with each."""

from collections.abc import Sequence

from markupsafe import Markup

from newbie_gui.formatting import date, figure, size_text
from newbie_gui.pages.html import button, download, table
from newbie_gui.pages.train.places import Place
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.results import SavedFile

_ROWS = 100


def render(ui: Ui, place: Place, entries: Sequence[SavedFile]) -> Markup:
    """Buttons: "merge" on the name of a file; "pin" and "unpin" on a step, with an event of their own: "input"."""
    if not entries:
        return Markup('<p class="muted">{}</p>').format(ui.t("train.files.none"))
    steps = sorted({entry.step for entry in entries}, reverse=True)
    rows = [_row(ui, place, step, [entry for entry in entries if entry.step == step]) for step in steps[:_ROWS]]
    heads = [ui.t(f"train.files.{key}") for key in ("step", "lora", "checkpoint", "loss", "validation", "date")]
    more = ui.t("train.files.more", count=len(steps) - _ROWS) if len(steps) > _ROWS else ""
    return Markup('{}<p class="muted">{} {}</p>').format(
        table(heads, rows, kind="files", box="files-box"), ui.t("train.files.keep"), more
    )


def _row(ui: Ui, place: Place, step: int, entries: Sequence[SavedFile]) -> tuple[str | Markup, ...]:
    kinds = {entry.kind: entry for entry in entries}
    export, checkpoint = kinds.get("export"), kinds.get("checkpoint")
    marks = Markup("").join(
        Markup(' <span class="badge">{}</span>').format(ui.t(f"train.files.{mark}"))
        for mark, there in (("best", entries[0].best), ("pinned", bool(checkpoint and checkpoint.pinned)))
        if there
    )
    return (
        Markup("{}{}").format(step, marks),
        _export(ui, place, export) if export else "",
        _checkpoint(ui, place, checkpoint) if checkpoint else ui.t("train.files.pruned"),
        figure(entries[0].loss),
        figure(entries[0].validation),
        date(entries[0].time),
    )


def _export(ui: Ui, place: Place, entry: SavedFile) -> Markup:
    merge = button("merge", entry.name, ui.t("train.files.merge"), ui.t("train.files.merge_of", name=entry.name))
    peft = ui.t("train.files.download_of", name=entry.peft)
    more = [download(place.zip_url("exports", entry.peft), ui.t("train.files.peft"), peft)] if entry.peft else []
    return _actions(ui, entry, place.file_url("exports", entry.name), merge, *more)


def _checkpoint(ui: Ui, place: Place, entry: SavedFile) -> Markup:
    verb = "unpin" if entry.pinned else "pin"
    label = ui.t(f"train.files.{verb}_of", step=entry.step)
    pin = button(verb, entry.step, ui.t(f"train.files.{verb}"), label, event="input")
    return _actions(ui, entry, place.zip_url("checkpoints", entry.name), pin)


def _actions(ui: Ui, entry: SavedFile, url: str, *others: Markup) -> Markup:
    """Its size, the link to it, and what else can be done."""
    link = download(url, ui.t("train.files.download"), ui.t("train.files.download_of", name=entry.name))
    return Markup('<span class="file-actions"><span>{}</span>{}{}</span>').format(
        size_text(entry.size), link, Markup("").join(others)
    )
