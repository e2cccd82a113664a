"""The page of thumbnails and the list of tags."""

from collections.abc import Sequence

from markupsafe import Markup

from newbie_gui.datasets.store import DatasetState
from newbie_gui.formatting import cut
from newbie_gui.links import file_url
from newbie_gui.pages.dataset.words import marks_of
from newbie_gui.pages.html import button, note
from newbie_gui.pages.ui import Ui
from trainer_core.dataset.dataset_index import Picture
from trainer_core.dataset.index_file import thumbnail_name

SHOWN_TAGS = 200


def render_grid(ui: Ui, dataset: DatasetState, pictures: Sequence[Picture], chosen: str) -> Markup:
    """The thumbnails of one page; ``chosen``: the picture that is open."""
    if not dataset.view.snapshot.pictures:
        return note("", ui.t("dataset.grid.empty"))
    if not pictures:
        return note("", ui.t("dataset.grid.nothing"))
    groups = {name: number for number, group in enumerate(dataset.view.snapshot.groups, 1) for name in group}
    items = [_item(ui, dataset, picture, chosen, groups.get(picture.relative, 0)) for picture in pictures]
    return Markup('<ul class="ds-grid">{}</ul>').format(Markup("").join(items))


def render_nothing(ui: Ui) -> Markup:
    """In place of the thumbnails while no data set is chosen."""
    return note("", ui.t("dataset.nothing"))


def render_tags(ui: Ui, dataset: DatasetState) -> Markup:
    """The most frequent tags; a click filters by one."""
    counts = dataset.view.snapshot.tag_counts
    if not counts:
        return Markup('<p class="muted">{}</p>').format(ui.t("dataset.tags.none"))
    rows = [
        Markup("<li>{}</li>").format(
            button("tag", tag, Markup('<span>{}</span> <span class="muted">{}</span>').format(cut(tag, 60), count))
        )
        for tag, count in counts[:SHOWN_TAGS]
    ]
    intro = ui.t("dataset.tags.intro", shown=min(SHOWN_TAGS, len(counts)), total=len(counts))
    return Markup('<p class="muted">{}</p><ul class="ds-tags">{}</ul>').format(intro, Markup("").join(rows))


def _item(ui: Ui, dataset: DatasetState, picture: Picture, chosen: str, group: int) -> Markup:
    marks = marks_of(ui, dataset, picture)
    if group:
        marks.append(ui.t("dataset.mark.twin", number=group))
    record = picture.record
    image = Markup('<span class="ds-blank" aria-hidden="true"></span>')
    if record is not None and record.key:
        image = Markup('<img loading="lazy" decoding="async" alt="" src="{}">').format(
            file_url("thumbs", thumbnail_name(record.key))
        )
    badges = Markup("").join(Markup('<span class="ds-mark">{}</span>').format(mark) for mark in marks)
    return Markup(
        '<li><button type="button" class="ds-thumb" data-do="open" data-on="{}"{} title="{}">'
        '{}<span class="ds-name">{}</span>{}<span class="ds-text">{}</span></button></li>'
    ).format(
        picture.relative,
        Markup(' aria-current="true"') if picture.relative == chosen else "",
        picture.relative,
        image,
        picture.name,
        badges,
        cut(picture.caption.text, 80),
    )
