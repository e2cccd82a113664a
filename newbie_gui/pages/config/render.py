"""The live panel as HTML: status, problems, memory bar, steps, time, disk. Every text is escaped by Markup.format."""

from collections.abc import Iterator, Sequence

from markupsafe import Markup

from newbie_gui.formatting import duration, gib
from newbie_gui.pages.config.fields import CHOSEN_ABOVE, fold_id
from newbie_gui.pages.config.form_check import Fit, FormReport
from newbie_gui.pages.config.words import WORTH_NAMING, part_name, parts_text
from newbie_gui.pages.html import bullets, fact_list, note, table
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.config import options
from trainer_core.planning.estimate import Estimate
from trainer_core.planning.phases import Component

# Colours of the bar; a part beyond them shares the last one.
_COLOURS = 7


def render(report: FormReport, ui: Ui) -> Markup:
    """The whole panel."""
    parts = [_summary(report, ui), _status(report, ui), *_warnings(report, ui)]
    if report.forecast is not None:
        parts += [_memory(report.forecast, fit, ui) for fit in report.fits]
        parts += [_figures(report, report.forecast, ui), _details(report.forecast, ui)]
    elif report.counting:
        parts.append(Markup("<p>{}</p>").format(ui.t("config.live.counting")))
    else:
        parts.append(Markup("<p>{}</p>").format(ui.t("config.status.none")))
    return Markup('<section class="config-live" aria-label="{}">{}</section>').format(
        ui.t("config.live"), Markup("").join(parts)
    )


def start_problem(report: FormReport, ui: Ui) -> str:
    """Why Start is not possible, with the first problem in words; empty where it is."""
    if not report.problems:
        return ""
    name, problem = next(iter(report.problems.items()))
    return ui.t("config.status.first", count=_count(report, ui), setting=ui.t(f"options.{name}"), problem=problem)


def _count(report: FormReport, ui: Ui) -> str:
    """How many problems there are; empty for none."""
    count = len(report.problems)
    if not count:
        return ""
    return ui.t("config.status.problem") if count == 1 else ui.t("config.status.problems", count=count)


def _good(report: FormReport, ui: Ui) -> tuple[str, str]:
    """Mark and words where there is no problem, or none yet."""
    return ("…", ui.t("config.status.reading")) if report.reading else ("✓", ui.t("config.status.ready"))


def _summary(report: FormReport, ui: Ui) -> Markup:
    """One line that stays in view on a narrow screen, where the panel itself is far below; it leads there."""
    words = _count(report, ui)
    parts = [f"⚠ {words}" if words else " ".join(_good(report, ui))]
    parts += [f"{gib(fit.needed)} / {gib(fit.free)} GiB" for fit in report.fits[:1]]
    if report.forecast is not None and report.forecast.steps is not None:
        parts.append(f"{ui.t('config.steps')} {report.forecast.steps.total_steps:,}")
    return Markup('<a class="config-summary" href="#config-live">{}</a>').format(" · ".join(parts))


def _status(report: FormReport, ui: Ui) -> Markup:
    """In words, announced to screen readers; each problem is a button that leads to its setting."""
    words = _count(report, ui)
    mark = Markup('<p class="config-status" role="status"><strong>{} {}</strong></p>')
    if not words:
        return note("" if report.reading else "good", mark.format(*_good(report, ui)))
    folds = {spec.name: fold_id(spec.group) for spec in options()}
    # The id after "config-" of what to show: the control itself, or the panel that sets it.
    places = {name: "base" if name == CHOSEN_ABOVE else name for name in report.problems}
    button = Markup('<button type="button" class="config-jump" data-field="{}" data-fold="{}">{}</button>')
    items = (
        Markup("{} {}").format(button.format(places[name], folds[name], ui.t(f"options.{name}")), problem)
        for name, problem in report.problems.items()
    )
    return note("error", mark.format("⚠", words), bullets(items, "config-list"))


def _warnings(report: FormReport, ui: Ui) -> Iterator[Markup]:
    if not report.warnings:
        return
    title = Markup("<strong>⚠ {}</strong>").format(ui.t("config.status.warnings"))
    hints = Markup("")
    if report.hints:
        hints = Markup("<details data-key='hints'><summary>{}</summary>{}</details>").format(
            ui.t("config.live.hints"), bullets(report.hints, "config-list")
        )
    yield note("warning", title, bullets(report.warnings, "config-list"), hints)


def _memory(forecast: Estimate, fit: Fit, ui: Ui) -> Markup:
    """One bar: what is in use, what the run takes by component, what stays free; the same in words below."""
    t = ui.t
    if fit.gpu is None:
        title, components = t("config.memory.cpu"), list(forecast.host.components)
    else:
        title = t("config.memory.gpu", index=fit.gpu.index, name=fit.gpu.name)
        components = [*forecast.peak.components, Component(name="reserve", bytes=forecast.reserve)]
    words = t(
        "config.memory.words",
        needed=gib(fit.needed),
        phase=t.phase(forecast.peak.name),
        free=gib(fit.free),
        total=gib(fit.total),
    )
    verdict = Markup('<strong class="{}">{}</strong>').format(
        "config-fits" if fit.fits else "config-short",
        t("config.memory.fits") if fit.fits else t("config.memory.short"),
    )
    return Markup('<div class="config-memory"><h4>{}</h4>{}<p>{} · {}</p>{}</div>').format(
        title, _bar(components, fit, ui, words), verdict, words, _legend(components, fit, ui)
    )


def _bar(components: Sequence[Component], fit: Fit, ui: Ui, words: str) -> Markup:
    used = max(0, fit.total - fit.free)
    scale = max(fit.total, used + fit.needed, 1)
    pieces = [_piece("config-used", used, scale, ui.t("config.memory.used"))]
    for number, part in enumerate(components):
        pieces.append(_piece(_colour(number), part.bytes, scale, _label(part, ui)))
    limit = Markup("")
    if scale > fit.total:
        limit = Markup('<span class="config-limit" style="left:{}%"></span>').format(f"{100 * fit.total / scale:.2f}")
    return Markup('<div class="config-bar" role="img" aria-label="{}">{}{}</div>').format(
        words, Markup("").join(pieces), limit
    )


def _piece(kind: str, size: int, scale: int, label: str) -> Markup:
    if not size:
        return Markup("")
    return Markup('<span class="{}" style="width:{}%" title="{}"></span>').format(
        kind, f"{100 * size / scale:.2f}", f"{label} {gib(size)} GiB"
    )


def _legend(components: Sequence[Component], fit: Fit, ui: Ui) -> Markup:
    used = max(0, fit.total - fit.free)
    rows = [("config-used", ui.t("config.memory.used"), used)]
    rows += [(_colour(number), _label(part, ui), part.bytes) for number, part in enumerate(components)]
    items = Markup("").join(
        Markup('<li><i class="{}"></i>{} {}</li>').format(kind, label, gib(size))
        for kind, label, size in rows
        if size >= WORTH_NAMING
    )
    return Markup('<ul class="config-legend">{}</ul>').format(items)


def _colour(number: int) -> str:
    return f"config-c{min(number, _COLOURS - 1)}"


def _label(part: Component, ui: Ui) -> str:
    return ui.t("config.memory.reserve") if part.name == "reserve" else part_name(part.name, ui.t)


def _figures(report: FormReport, forecast: Estimate, ui: Ui) -> Markup:
    t = ui.t
    rows = [
        (t("config.data"), _data(report, forecast, ui)),
        (t("config.steps"), _steps(report, forecast, ui)),
        (t("config.time"), _time(forecast, ui)),
        (t("config.disk"), _disk(forecast, ui)),
        (
            t("config.adapter"),
            t(
                "config.adapter.words",
                modules=f"{forecast.lora_modules:,}",
                parameters=f"{forecast.lora_parameters:,}",
            ),
        ),
    ]
    if forecast.measured is not None:
        rows.insert(2, (t("config.measured"), _measured(forecast, ui)))
    figures = fact_list(rows, "config-figures")
    # That the data set is missing is said where its figures would be.
    replaced = [name for name in report.replaced if name != "train_data_dir"]
    if not replaced:
        return figures
    names = t.joined(t(f"options.{name}") for name in replaced)
    return figures + Markup('<p class="muted">{}</p>').format(t("config.live.replaced", names=names))


def _data(report: FormReport, forecast: Estimate, ui: Ui) -> str:
    if report.data is None or forecast.steps is None:
        return ui.t("config.live.counting") if report.counting else ui.t("config.steps.unknown")
    shown = f"{forecast.steps.shown_per_epoch:,}"
    return ui.t("config.steps.data", images=f"{report.data.images:,}", shown=shown)


def _steps(report: FormReport, forecast: Estimate, ui: Ui) -> str:
    steps = forecast.steps
    if steps is None:
        return ui.t("config.live.counting") if report.counting else ui.t("config.steps.unknown")
    words = ui.t(
        "config.steps.words",
        total=f"{steps.total_steps:,}",
        per_epoch=f"{steps.steps_per_epoch:,}",
        images=f"{steps.images_per_step:,}",
    )
    saves = ui.t("config.steps.saves", saves=f"{steps.saves:,}", pictures=f"{steps.sample_pictures:,}")
    return words + ("；" if ui.lang == "zh" else "; ") + saves


def _time(forecast: Estimate, ui: Ui) -> str:
    if forecast.speed is None or forecast.seconds is None:
        return ui.t("config.time.unknown")
    whole, pace = duration(forecast.seconds, ui.t, roughly=True), f"{forecast.speed.seconds_per_step:.3g}"
    if not forecast.speed.run:
        return ui.t("config.time.tried", duration=whole, pace=pace)
    return ui.t("config.time.words", duration=whole, pace=pace, run=forecast.speed.run)


def _measured(forecast: Estimate, ui: Ui) -> str:
    assert forecast.measured is not None
    sizes = {"measured": gib(forecast.measured.peak), "estimated": gib(forecast.training_estimate)}
    return ui.t("config.measured.words", **sizes)


def _disk(forecast: Estimate, ui: Ui) -> str:
    disk = forecast.disk
    free = ui.t("config.disk.unknown") if disk.free is None else gib(disk.free)
    words = ui.t("config.disk.words", needed=gib(disk.bytes), free=free)
    parts = parts_text(disk.components, ui.t)
    if not parts:
        return words
    return f"{words} ({parts})" if ui.lang == "en" else f"{words}（{parts}）"


def _details(forecast: Estimate, ui: Ui) -> Markup:
    """Every phase, and what was assumed: for whoever wants to know."""
    t = ui.t
    rows = [
        (
            t("config.memory.peak", phase=t.phase(phase.name)) if phase is forecast.peak else t.phase(phase.name),
            gib(phase.bytes),
            parts_text(phase.components, t),
        )
        for phase in forecast.phases
    ]
    heads = [t(f"config.memory.{key}") for key in ("phase", "size", "parts")]
    return Markup(
        "<details data-key='phases'><summary>{}</summary>{}</details>"
        "<details data-key='notes'><summary>{}</summary>{}</details>"
    ).format(
        t("config.memory.phases"),
        table(heads, rows),
        t("config.notes"),
        bullets(map(ui.translate, forecast.notes), "config-list"),
    )
