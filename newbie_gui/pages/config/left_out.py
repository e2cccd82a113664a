"""What of saved settings no control can hold, and why: it must not vanish without a word."""

from collections.abc import Mapping, Sequence
from typing import Any

from newbie_gui.formatting import cut
from newbie_gui.pages.config.form import unfit, values_from
from newbie_gui.pages.config.form_check import in_words
from newbie_gui.pages.html import bullets
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.config import options
from trainer_core.contracts.fsutil import json_text
from trainer_core.contracts.validation import all_problems

_SHOWN = 60


def left_out(ui: Ui, values: Mapping[str, Any], unknown: Sequence[str]) -> list[str]:
    """The parts of a note; none where everything can be held.

    ``values``: settings by name, in their types or as controls hold them. ``unknown``: saved names of no setting.
    """
    parts = []
    if lost := unfit(values):
        whys = in_words(all_problems(options(), values_from(values))[1], values, ui)
        lines = [
            ui.t(
                "config.left_out.value", setting=ui.t(f"options.{name}"), value=cut(json_text(value), _SHOWN),
                why=whys.get(name, ""),
            )
            for name, value in lost.items()
        ]  # fmt: skip
        parts += [ui.t("config.left_out"), bullets(lines)]
    if unknown:
        parts.append(ui.t("config.files.unknown", names=ui.t.joined(unknown)))
    return parts
