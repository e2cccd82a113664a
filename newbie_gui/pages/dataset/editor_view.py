"""The large view of one picture: the picture with the crop frame of its bucket, and the facts below its caption."""

from markupsafe import Markup

from newbie_gui.datasets.store import DatasetState
from newbie_gui.links import file_url
from newbie_gui.pages.dataset.words import marks_of
from newbie_gui.pages.html import fact_list, note
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.datafacts import tokens_of
from trainer_core.dataset.captions import CaptionRules
from trainer_core.dataset.dataset_index import Picture
from trainer_core.dataset.index_file import preview_name


def render_picture(ui: Ui, dataset: DatasetState, picture: Picture) -> Markup:
    """The picture and what is to be known before its caption is changed."""
    marks = Markup("").join(Markup('<span class="ds-mark">{}</span>').format(m) for m in marks_of(ui, dataset, picture))
    notes = [ui.t("dataset.editor.encoding")] if picture.caption.state == "encoding" else []
    if picture.caption.mark:
        notes.append(ui.t("dataset.editor.mark"))
    said = Markup("").join(note("warning", text) for text in notes)
    words = Markup("<figcaption>{}{}</figcaption>").format(marks, said) if marks or said else Markup("")
    return Markup('<figure class="ds-large">{}{}</figure>').format(_framed(ui, dataset, picture), words)


def render_facts(ui: Ui, dataset: DatasetState, picture: Picture, place: str) -> Markup:
    """What is known of the picture. ``place``: "3 of 40" among the pictures shown."""
    return fact_list(_facts(ui, dataset, picture, place), "ds-facts")


def crop_frame(width: int, height: int, bucket: tuple[int, int]) -> tuple[float, float, float, float]:
    """(left, top, width, height) of what training sees of a picture, in percent of it."""
    scale = max(bucket[0] / width, bucket[1] / height)
    across, down = 100 * bucket[0] / (width * scale), 100 * bucket[1] / (height * scale)
    return (100 - across) / 2, (100 - down) / 2, across, down


def _framed(ui: Ui, dataset: DatasetState, picture: Picture) -> Markup:
    record = picture.record
    if record is None or not record.key:
        word = ui.t("dataset.mark.pending") if record is None else ui.t(f"dataset.problem.{record.problem}")
        return note("", word)
    placed = dataset.view.placed.get(picture.relative)
    frame = Markup("")
    if placed is not None:
        left, top, across, down = crop_frame(record.width, record.height, placed.bucket)
        frame = Markup('<span class="ds-frame" style="left:{:.3f}%;top:{:.3f}%;width:{:.3f}%;height:{:.3f}%"></span>')
        frame = frame.format(left, top, across, down)
    return Markup('<div class="ds-picture"><img src="{}" width="{}" height="{}" alt="{}">{}</div>').format(
        file_url("thumbs", preview_name(record.key)), record.width, record.height, picture.relative, frame
    )


def _facts(ui: Ui, dataset: DatasetState, picture: Picture, place: str) -> list[tuple[str, str]]:
    t, record = ui.t, picture.record
    facts = [(t("dataset.fact.file"), picture.relative), (t("dataset.fact.place"), place)]
    placed = dataset.view.placed.get(picture.relative)
    if record is not None and record.width:
        facts.append((t("dataset.fact.size"), f"{record.width} × {record.height}"))
    if placed is not None:
        text = t(
            "dataset.fact.bucket_text",
            width=placed.bucket[0],
            height=placed.bucket[1],
            percent=f"{100 * placed.crop_loss:.0f}",
        )
        facts.append((t("dataset.fact.bucket"), text))
    facts += [
        (t("dataset.fact.repeats"), str(picture.repeats)),
        (t("dataset.fact.tokens"), _tokens(ui, dataset, picture)),
    ]
    if picture.mistake:
        facts.append((t("dataset.fact.xml"), ui.translate(picture.mistake)))
    if record is not None and record.reason:
        facts.append((t("dataset.fact.problem"), ui.translate(record.reason)))
    return facts


def _tokens(ui: Ui, dataset: DatasetState, picture: Picture) -> str:
    config = dataset.wanted.config
    limit = config.max_gemma_tokens
    # Of the longest part, where a caption holds several.
    texts = CaptionRules.of(config).written(picture.caption.text)
    counts = [ui.datasets.counts(dataset.wanted).get(text) if dataset.wanted.has_base else None for text in texts]
    known = [count for count in counts if count is not None]
    if len(known) == len(texts):
        count = max(known)
        over = count > limit
        return ui.t("dataset.tokens.over" if over else "dataset.tokens.counted", count=count, limit=limit)
    prompt = config.system_prompts[0]
    key = "dataset.tokens.counting" if dataset.wanted.has_base else "dataset.tokens.no_base"
    return ui.t(key, count=max(tokens_of(prompt + text) for text in texts), limit=limit)
