"""Why a run failed, in one sentence, and what can be done; the memory ladder with a button for each rung."""

from collections.abc import Sequence

from markupsafe import Markup

from newbie_gui.pages.html import bullets, button, note
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.failure import Failure, Remedy


def render(ui: Ui, failure: Failure | None, remedies: Sequence[Remedy], new_name: str) -> Markup:
    """Nothing for a run that did not fail. ``new_name``: of the run that a remedy may need."""
    if failure is None:
        return Markup("")
    interrupted = failure.code == "interrupted"
    sentence = ui.t("train.failure.interrupted") if interrupted else ui.translate(failure.message)
    first, _, rest = sentence.partition("\n")
    parts = [Markup("<h3>{}</h3>").format(ui.t("train.failure.heading"))] if not interrupted else []
    parts.append(Markup("<p>{}</p>").format(first))
    if interrupted and failure.message:
        parts.append(Markup("<p>{}</p>").format(ui.translate(failure.message)))
    if rest.strip():
        parts.append(Markup("<pre>{}</pre>").format(rest.strip("\n")))
    if failure.hints and not remedies:
        parts.append(
            Markup("<p>{}</p>").format(ui.t("train.failure.hints")) + bullets(map(ui.translate, failure.hints))
        )
    if remedies:
        rungs = Markup("").join(_rung(ui, number, remedy, new_name) for number, remedy in enumerate(remedies, 1))
        parts.append(Markup('<p>{}</p><ol class="ladder">{}</ol>').format(ui.t("train.failure.ladder"), rungs))
    return note("error failure", *parts, role="alert")


def _rung(ui: Ui, number: int, remedy: Remedy, new_name: str) -> Markup:
    label = ui.t("train.failure.apply_new", name=new_name) if remedy.new_run else ui.t("train.failure.apply")
    spoken = label if remedy.new_run else ui.t("train.failure.apply_of", number=number)
    return Markup("<li><span>{}</span> {}</li>").format(
        ui.translate(remedy.sentence), button("apply", number - 1, label, spoken)
    )
