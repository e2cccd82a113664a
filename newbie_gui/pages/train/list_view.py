"""The list of runs: one button a run, its state in words."""

from collections.abc import Sequence

from markupsafe import Markup

from newbie_gui.formatting import date
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.store import Row

MOST = 60


def render(ui: Ui, rows: Sequence[Row], selected: str, *, filtered: bool) -> Markup:
    """Buttons carry their run's key; the shown run's says so by ``aria-pressed``."""
    if not rows:
        return Markup('<p class="muted">{}</p>').format(ui.t("train.runs.no_match" if filtered else "train.runs.none"))
    items = Markup("").join(_item(ui, row, row.key == selected) for row in rows[:MOST])
    more = ui.t("train.runs.more", count=len(rows) - MOST) if len(rows) > MOST else ""
    return Markup('<ul class="runs">{}</ul><p class="muted">{}</p>').format(items, more)


def _item(ui: Ui, row: Row, shown: bool) -> Markup:
    steps = f"{row.step}/{row.total}" if row.total else ""
    return Markup(
        '<li><button type="button" class="run state-{}" data-do="show" data-on="{}" aria-pressed="{}">'
        '<span class="run-name">{}</span> <span class="run-state">{}</span> <span class="run-facts">{} {}</span>'
        "</button></li>"
    ).format(
        row.state,
        row.key,
        "true" if shown else "false",
        row.name,
        ui.t(f"train.state.{row.state}"),
        steps,
        date(row.time),
    )
