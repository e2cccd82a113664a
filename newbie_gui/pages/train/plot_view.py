"""The curves as Gradio's line plot takes them, the sentence under them, and the same figures as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from newbie_gui.formatting import figure
from newbie_gui.pages.html import bullets, note
from newbie_gui.pages.html import table as table_of
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.curves import Curve, Floats
from newbie_gui.runs.health import Health
from newbie_gui.runs.plot import Plot

# Of the table: steps evenly over the curve, and validated steps beside them.
_EVEN_ROWS, _VALIDATED_ROWS = 20, 10
RAW, SMOOTHED, VALIDATION, OTHER = "#9db7e8", "#2563eb", "#d97706", "#0f9d58"
_BAD = ("nan", "rising", "overfit", "flat")


def names(ui: Ui) -> dict[str, str]:
    """Names of the columns and curves in the page's language."""
    keys = ("raw", "smoothed", "validation", "other", "step", "loss", "series", "rate")
    return {key: ui.t(f"train.loss.{key}") for key in keys}


def heading(ui: Ui, *, log: bool, other: str = "") -> str:
    """What stands above the plot: what its numbers are, and the name of the run beside it, which no legend can tell.

    The plot knows its curves by fixed names (`colours`).
    """
    compared = f"\n\n{ui.t('train.loss.compared', name=other)}" if other else ""
    return f"### {ui.t('train.loss.log_heading' if log else 'train.loss.heading')}{compared}"


def colours(ui: Ui) -> dict[str, str]:
    """Colours by the name of a curve; the plot leaves out a curve whose name has none."""
    called = names(ui)
    return {called["raw"]: RAW, called["smoothed"]: SMOOTHED, called["validation"]: VALIDATION, called["other"]: OTHER}


def loss_data(ui: Ui, plot: Plot) -> dict[str, Any]:
    """Rows of (step, value, curve)."""
    called = names(ui)
    curves = {"raw": plot.raw, "smoothed": plot.smoothed, "validation": plot.validation, "other": plot.other}
    found = {key: _rows(curve, called[key]) if curve else [] for key, curve in curves.items()}
    # The plot takes its colours from the curves it was first given: each has to be among them, if only as a gap.
    start = min((rows[0][0] for rows in found.values() if rows), default=0)
    rows = [row for key, own in found.items() for row in own or [[start, None, called[key]]]]
    return _data([called["step"], called["loss"], called["series"]], rows)


def rate_data(ui: Ui, plot: Plot) -> dict[str, Any]:
    """Rows of (step, learning rate)."""
    called = names(ui)
    return _data([called["step"], called["rate"]], _rows(plot.rate))


def health(ui: Ui, found: Health) -> Markup:
    """The sentence, what to check, and nothing else."""
    tone = "warning" if found.key in _BAD else "good" if found.key == "falling" else ""
    hints = bullets(map(ui.translate, found.hints))
    return note(tone, ui.t(f"train.health.{found.key}", **found.values), hints)


def waiting(ui: Ui) -> Markup:
    """In place of the sentence, of a run that has not begun."""
    return note("", ui.t("train.progress.waiting"), ui.t("train.loss.empty"))


def notes(ui: Ui, warnings: Sequence[str], advice: Sequence[Mapping[str, Any]]) -> Markup:
    """What the trainer warned of and advised, newest last; nothing where it did not."""
    items = [ui.translate(text) for text in warnings]
    for entry in advice:
        hints = bullets(ui.translate(str(hint)) for hint in entry.get("hints") or ())
        items.append(Markup("{}{}").format(ui.translate(str(entry.get("message", ""))), hints))
    if not items:
        return Markup("")
    return Markup('<details class="trainer-notes"><summary>{} ({})</summary>{}</details>').format(
        ui.t("train.notes.heading"), len(items), bullets(items)
    )


def table(ui: Ui, plot: Plot) -> Markup:
    """About twenty rows evenly over the curve, the last step among them, and some of the validated steps."""
    raw = plot.all_raw
    called = names(ui)
    places = np.linspace(0, len(raw) - 1, min(len(raw), _EVEN_ROWS)).astype(int)
    steps = np.union1d(raw.steps[places], plot.all_validation.thinned(_VALIDATED_ROWS).steps)
    columns = [_figures(curve, steps) for curve in (raw, plot.all_smoothed, plot.all_validation)]
    rows = list(zip(steps.astype(int).tolist(), *columns, strict=True))
    heads = [called[key] for key in ("step", "raw", "smoothed", "validation")]
    return Markup('<details class="curve-table"><summary>{}</summary>{}</details>').format(
        ui.t("train.loss.table"), table_of(heads, rows)
    )


def _figures(curve: Curve, steps: Floats) -> list[str]:
    """The curve's value at each of the steps; "" where it has none."""
    wanted = np.isin(curve.steps, steps)
    known = dict(zip(curve.steps[wanted].tolist(), curve.values[wanted].tolist(), strict=True))
    return [figure(known.get(step)) for step in steps.tolist()]


def _rows(curve: Curve, *name: str) -> list[list[Any]]:
    # Four digits draw the same picture in half the bytes.
    return [
        [int(step), float(f"{value:.4g}"), *name]
        for step, value in zip(curve.steps.tolist(), curve.values.tolist(), strict=True)
    ]


def _data(columns: list[str], rows: list[list[Any]]) -> dict[str, Any]:
    kinds = ("quantitative", "quantitative", "nominal")
    datatypes = dict(zip(columns, kinds, strict=False))
    return {"columns": columns, "data": rows, "datatypes": datatypes, "mark": "line"}
