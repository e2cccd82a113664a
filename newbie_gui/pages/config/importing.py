"""Another NewBie trainer's config into the form, with what becomes of every key."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from newbie_gui.formatting import cut
from newbie_gui.pages.config.store import read_values
from newbie_gui.pages.html import table
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.config import IGNORED_KEYS, SECTIONS, flattened, options
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.foreign import FOREIGN_KEYS, KeyReport, is_secret
from trainer_core.contracts.foreign import translate as translate_keys
from trainer_core.contracts.validation import all_problems, nearest

_SHOWN = 60


@dataclass(frozen=True, kw_only=True)
class Imported:
    """`values` by our names over the defaults; not to be used while `blocking` names keys.

    invalid: what is wrong with the values that their options cannot have; unnamed: how many options the file lacks.
    """

    values: Mapping[str, Any]
    reports: tuple[KeyReport, ...]
    blocking: tuple[str, ...]
    invalid: Mapping[str, str]
    unnamed: int


def import_config(file: Path, defaults: Mapping[str, Any], without: Collection[str] = ()) -> Imported:
    """Translate a file, over ``defaults``. Keys of ``without`` that it lacks are passed over.

    Raises:
        UserError: `foreign_model`, `config_large`, `config_empty`; ConfigError, it is no TOML.
    """
    raw = read_values(file)
    flat, _ = flattened(raw)
    names = [spec.name for spec in options()]
    translation = translate_keys(
        flat,
        known=names,
        without=[key for key in without if key in flat],
        nearest=lambda key: nearest(key, names),
        own=not is_foreign(raw),
    )
    if not translation.values and not translation.blocking:
        raise UserError("config_empty", f"{file.name} names no setting; nothing was changed.")
    good, problems = all_problems(options(), translation.values)
    return Imported(
        values={**defaults, **translation.values},
        reports=translation.reports,
        blocking=translation.blocking,
        invalid={p.field: p.message for p in problems if p.field in translation.values and p.field not in good},
        unnamed=len(names) - len(translation.values),
    )


def is_foreign(raw: Mapping[str, Any]) -> bool:
    """Another trainer's file: its keys stand under the headings that it uses, or some of them are its own.

    A key that nobody knows is a slip of the pen in a file of ours.
    """
    theirs = FOREIGN_KEYS.keys() - IGNORED_KEYS.keys() - {spec.name for spec in options()}
    return any(section in raw for section in SECTIONS) or not theirs.isdisjoint(raw)


def report_table(imported: Imported, ui: Ui) -> Markup:
    """Every key with what became of it; what needs a decision first, what was simply taken last."""
    order = ("cannot", "unknown", "invalid", "left out", "translated", "added", "ignored", "taken")
    rows = []
    for report in imported.reports:
        # Of a key that was translated the reason names ours.
        ours = report.reason if report.verdict == "translated" else report.key
        wrong = imported.invalid.get(ours) or imported.invalid.get(report.key)
        rows.append((report, "invalid", wrong) if wrong else (report, report.verdict, report.reason))
    rows.sort(key=lambda row: order.index(row[1]))
    heads = [ui.t(f"config.import.{key}") for key in ("key", "value", "verdict")]
    return table(heads, [_row(*row, ui) for row in rows])


def _row(report: KeyReport, verdict: str, why: str, ui: Ui) -> tuple[str | Markup, ...]:
    shown = "" if is_secret(report.key) or report.value is None else repr(report.value)
    mark = "⚠ " if verdict in ("cannot", "unknown", "invalid") else ""
    reason = f": {ui.translate(why)}" if why else ""
    if ui.lang == "zh":
        reason = reason.replace(": ", "：", 1)
    return (
        report.key,
        Markup("<code>{}</code>").format(cut(shown, _SHOWN)),
        f"{mark}{ui.t(f'config.import.verdict.{verdict}')}{reason}",
    )
