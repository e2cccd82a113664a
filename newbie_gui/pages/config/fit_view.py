"""How a check of the fit stands, and what it found, as HTML; pure, every text is escaped by Markup.format."""

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from newbie_gui.formatting import duration, gib
from newbie_gui.pages.html import bullets, note
from newbie_gui.pages.ui import Ui
from trainer_core.jobs.queue import Entry


def render_fit(entry: Entry, ui: Ui) -> Markup:
    """Announced to screen readers."""
    return Markup('<div class="fit-answer" role="status">{}</div>').format(_body(entry, ui))


def _body(entry: Entry, ui: Ui) -> Markup:
    if entry.status == "waiting":
        return note("", ui.t("fit.waiting"))
    if entry.active:
        return note("", ui.t("fit.checking", phase=ui.t.phase(entry.phase)))
    if entry.status == "finished":
        return _found(entry.result, ui)
    if entry.status == "failed":
        words = Markup("<strong>{}</strong>").format(ui.t("fit.failed"))
        return note("error", words, ui.translate(entry.message), bullets(map(ui.translate, entry.hints), "config-list"))
    return note("", ui.t("fit.stopped"))


def _found(result: Mapping[str, Any], ui: Ui) -> Markup:
    verdict = str(result.get("verdict"))
    kind, mark = {"fits": ("good", "✓"), "tight": ("warning", "⚠")}.get(verdict, ("error", "⚠"))
    known = verdict if f"fit.verdict.{verdict}" in ui.t else "no"
    head = Markup("<strong>{} {}</strong>").format(mark, ui.t(f"fit.verdict.{known}"))
    advice = Markup("")
    if result.get("hints"):
        sentences = (ui.translate(str(hint)) for hint in result["hints"])
        advice = Markup("<p>{}</p>{}").format(ui.t("config.live.hints"), bullets(sentences, "config-list"))
    return note(kind, head, bullets(_sentences(result, ui), "config-list"), advice)


def _sentences(result: Mapping[str, Any], ui: Ui) -> Iterator[str]:
    measured, estimated = result.get("measured"), gib(result["estimated"])
    if not measured:
        yield ui.t("fit.out_of_memory", estimated=estimated)
        return
    kind = "fit.peak.gpu" if measured["cuda"] else "fit.peak.cpu"
    yield ui.t(kind, measured=gib(measured["peak"]), estimated=estimated, process=gib(measured["process"]))
    if result.get("free") is not None:
        yield ui.t("fit.needed", needed=gib(result["needed"]), free=gib(result["free"]))
    seconds = measured["seconds_per_step"]
    yield ui.t("fit.pace", seconds=f"{seconds:.3g}", images=f"{measured['images_per_step'] / seconds:.3g}")
    if result.get("seconds") is not None:
        yield ui.t("fit.whole", duration=duration(result["seconds"], ui.t, roughly=True))
    yield ui.t(
        "fit.tried", width=measured["width"], height=measured["height"], images=measured["images"],
        tokens=measured["caption_tokens"], device=ui.translate(measured["device"]), took=f"{result['took']:.0f}",
    )  # fmt: skip
