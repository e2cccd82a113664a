"""The health panel: what will be trained, what is missing, the buckets drawn, and advice by the number of pictures."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from newbie_gui.datasets.store import DatasetState
from newbie_gui.pages.html import bullets, fact_list, note
from newbie_gui.pages.ui import Ui
from trainer_core.dataset.health import MEGAPIXELS, Health
from trainer_core.planning.data_advice import Advice, dataset_advice
from trainer_core.planning.schedule import count_steps

SHOWN_PROBLEMS = 50


def advised(dataset: DatasetState) -> dict[str, Any]:
    """Published settings for this number of pictures, by option name."""
    return dict(_advice(dataset).values)


def steps_per_epoch(dataset: DatasetState) -> int:
    """As training counts them, with the batch size of the settings."""
    return count_steps(dataset.wanted.config, dataset.health.buckets).steps_per_epoch


def render_health(ui: Ui, dataset: DatasetState) -> Markup:
    health = dataset.health
    if not health.images:
        return Markup('<p class="muted">{}</p>').format(ui.t("dataset.health.nothing"))
    return Markup("{}{}{}{}{}{}").format(
        _no_captions(ui, health),
        _facts(ui, dataset),
        note("", ui.translate(_advice(dataset).sentence)),
        _buckets(ui, dataset),
        _sizes(ui, health),
        _problems(ui, dataset),
    )


def _no_captions(ui: Ui, health: Health) -> Markup:
    if not health.usable or health.missing < health.usable:
        return Markup("")
    return note("warning", ui.t("dataset.health.no_captions"))


def _facts(ui: Ui, dataset: DatasetState) -> Markup:
    t, health, config = ui.t, dataset.health, dataset.wanted.config
    rows = [
        (t("dataset.health.images"), t("dataset.health.images_text", usable=health.usable, images=health.images)),
        (t("dataset.health.shown"), t("dataset.health.shown_text", count=health.shown)),
        (
            t("dataset.health.steps"),
            t("dataset.health.steps_text", count=steps_per_epoch(dataset), batch=config.train_batch_size),
        ),
        (t("dataset.health.missing"), _count(ui, health.missing)),
        (t("dataset.health.small"), _count(ui, health.small)),
        (t("dataset.health.cropped"), _count(ui, health.cropped)),
        (t("dataset.health.duplicates"), _count(ui, health.duplicates)),
    ]
    if health.mistakes:
        rows.append((t("dataset.health.mistakes"), str(health.mistakes)))
    if health.pending:
        rows.append((t("dataset.health.pending"), str(health.pending)))
    return fact_list(rows, "ds-facts")


def _count(ui: Ui, count: int) -> str:
    return ui.t("dataset.health.none") if not count else str(count)


def _advice(dataset: DatasetState) -> Advice:
    images, shown = dataset.health.usable, dataset.health.shown
    return dataset_advice(images, shown / images if images and shown else 1.0)


def _buckets(ui: Ui, dataset: DatasetState) -> Markup:
    rows = [(f"{bucket.width} × {bucket.height}", bucket.images) for bucket in dataset.health.buckets]
    return _bars(ui.t("dataset.health.buckets", resolution=dataset.wanted.config.resolution), rows)


def _sizes(ui: Ui, health: Health) -> Markup:
    limits = [f"{limit:g}" for limit in MEGAPIXELS]
    below = ui.t("dataset.health.up_to", limit=limits[0])
    between = [f"{low}–{high} MP" for low, high in zip(limits, limits[1:], strict=False)]
    names = [below, *between, ui.t("dataset.health.above", limit=limits[-1])]
    title = ui.t(
        "dataset.health.sizes",
        smallest=f"{health.smallest:.2f}",
        middle=f"{health.middle:.2f}",
        largest=f"{health.largest:.2f}",
    )
    return _bars(title, list(zip(names, health.sizes, strict=True)))


def _bars(title: str, rows: Sequence[tuple[str, int]]) -> Markup:
    """Bars with their numbers in words beside them; rows of nothing are left out."""
    most = max((count for _, count in rows), default=0)
    drawn = [
        Markup(
            '<li><span class="ds-bar-name">{}</span><span class="ds-bar-room" aria-hidden="true">'
            '<span class="ds-bar" style="width:{:.1f}%"></span></span><span class="ds-bar-count">{}</span></li>'
        ).format(name, 100 * count / most, count)
        for name, count in rows
        if count
    ]
    return Markup('<h4>{}</h4><ul class="ds-bars">{}</ul>').format(title, Markup("").join(drawn))


def _problems(ui: Ui, dataset: DatasetState) -> Markup:
    found = [(str(problem.path.name), f"dataset.found.{problem.kind}") for problem in dataset.view.snapshot.problems]
    for picture in dataset.view.snapshot.pictures:
        if picture.record is not None and picture.record.problem:
            found.append((picture.relative, f"dataset.problem.{picture.record.problem}"))
        if picture.caption.state in ("encoding", "unreadable"):
            found.append((picture.relative, f"dataset.caption.{picture.caption.state}"))
    if not found:
        return note("good", ui.t("dataset.health.sound"))
    items = bullets(Markup("<b>{}</b>: {}").format(name, ui.t(key)) for name, key in found[:SHOWN_PROBLEMS])
    title = ui.t("dataset.health.problems", count=len(found))
    return Markup('<details class="note warning"><summary>{}</summary>{}</details>').format(title, items)
