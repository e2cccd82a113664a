"""Where everything on the Dataset tab stands. No behaviour."""

from dataclasses import dataclass
from typing import Any, get_args

import gradio as gr

from newbie_gui.pages.html import CLICKS
from newbie_gui.pages.ui import Ui, hidden
from trainer_core.dataset.caption_edits import MAX_TEXT, Kind
from trainer_core.dataset.filters import Show
from trainer_core.dataset.library import DatasetInfo


@dataclass(frozen=True, kw_only=True)
class DeleteQuestion:
    """A question before something is deleted."""

    box: gr.Group
    text: gr.Markdown
    yes: gr.Button
    no: gr.Button


@dataclass(frozen=True, kw_only=True)
class ManageParts:
    """Data sets and their concepts. ``asked``: hidden, what the question is about: "data set" or "data set/concept"."""

    name: gr.Textbox
    repeats: gr.Number
    create: gr.Button
    folder: gr.Textbox
    point: gr.Button
    new_name: gr.Textbox
    rename: gr.Button
    delete: gr.Button
    forget: gr.Button
    concept: gr.Dropdown
    label: gr.Textbox
    concept_repeats: gr.Number
    add: gr.Button
    change: gr.Button
    delete_concept: gr.Button
    sure: DeleteQuestion
    asked: gr.Textbox


@dataclass(frozen=True, kw_only=True)
class Upload:
    """Hidden: ``begins`` is clicked when an upload begins, ``into`` and ``concept`` say where it is to go."""

    target: gr.Dropdown
    overwrite: gr.Checkbox
    files: gr.File
    folder: gr.File
    begins: gr.Button
    into: gr.Textbox
    concept: gr.Textbox


@dataclass(frozen=True, kw_only=True)
class Browse:
    """Filters, thumbnails, pages. ``lower``: the pages' buttons once more, below. ``page``: hidden, its number."""

    search: gr.Textbox
    show: gr.Dropdown
    folder: gr.Dropdown
    tag: gr.Textbox
    clear: gr.Button
    grid: gr.HTML
    count: gr.Markdown
    before: gr.Button
    after: gr.Button
    lower: tuple[gr.Button, gr.Button]
    page: gr.Textbox


@dataclass(frozen=True, kw_only=True)
class Unsaved:
    """What is to become of a caption that could not be saved: it is kept, over what is there, or given up."""

    box: gr.Column
    text: gr.HTML
    keep: gr.Button
    drop: gr.Button


@dataclass(frozen=True, kw_only=True)
class Editor:
    """The large view.

    Hidden: ``chosen``, the open picture; ``loaded``, its caption as it was read; ``leave``, clicked when the caption is
    left; ``kept``, what was written then, as JSON: data set, picture, the caption as it was read, as it is now.
    """

    box: gr.Group
    picture: gr.HTML
    facts: gr.HTML
    caption: gr.Textbox
    previous: gr.Button
    save: gr.Button
    save_next: gr.Button
    next: gr.Button
    close: gr.Button
    delete: gr.Button
    said: gr.Markdown
    unsaved: Unsaved
    sure: DeleteQuestion
    chosen: gr.Textbox
    loaded: gr.Textbox
    leave: gr.Button
    kept: gr.Textbox


@dataclass(frozen=True, kw_only=True)
class Bulk:
    kind: gr.Dropdown
    text: gr.Textbox
    new: gr.Textbox
    match_case: gr.Checkbox
    preview: gr.Button
    apply: gr.Button
    undo: gr.Button
    view: gr.HTML


@dataclass(frozen=True, kw_only=True)
class Facts:
    """``values``: hidden, the advised settings as JSON text."""

    health: gr.HTML
    apply: gr.Button
    values: gr.Textbox
    tags: gr.HTML


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The whole tab.

    Hidden: ``shown``, the data set on the page, whose picture is open, while ``dataset`` may be a new choice already;
    ``jobs``, ``stamp`` and ``lists``, what of each the browser has.
    """

    dataset: gr.Dropdown
    manage_box: gr.Accordion
    manage: ManageParts
    add_box: gr.Accordion
    upload: Upload
    status: gr.HTML
    browse: Browse
    editor: Editor
    bulk: Bulk
    facts: Facts
    shown: gr.Textbox
    jobs: gr.Textbox
    stamp: gr.Textbox
    lists: gr.Textbox


def dataset_choices(ui: Ui, infos: tuple[DatasetInfo, ...]) -> list[tuple[str, str]]:
    """(what is shown, name) of each data set."""
    return [(_shown(ui, info), info.name) for info in infos]


def place(ui: Ui, infos: tuple[DatasetInfo, ...]) -> Parts:
    """Put everything down; call it inside the tab."""
    t = ui.t
    with gr.Row(equal_height=True):
        dataset = gr.Dropdown(
            dataset_choices(ui, infos), value=None, label=t("dataset.choose"), elem_id="dataset-choose", min_width=220
        )
    with gr.Accordion(t("dataset.manage"), open=False, elem_id="dataset-manage") as box:
        manage = _manage(ui)
    with gr.Accordion(t("dataset.add"), open=True, elem_id="dataset-add") as add_box:
        upload = _upload(ui)
    status = gr.HTML(elem_id="dataset-status", js_on_load=CLICKS)
    with gr.Row(elem_classes="ds-page"):
        with gr.Column(scale=3, min_width=320):
            browse = _browse(ui)
        with gr.Column(scale=2, min_width=320, elem_classes="ds-side"):
            editor = _editor(ui)
            with gr.Accordion(t("dataset.health"), open=True, elem_id="dataset-health-box"):
                health = gr.HTML(elem_id="dataset-health")
                apply = gr.Button(t("dataset.health.apply"), elem_id="dataset-apply")
            with gr.Accordion(t("dataset.bulk"), open=False, elem_id="dataset-bulk"):
                bulk = _bulk(ui)
            with gr.Accordion(t("dataset.tags"), open=False, elem_id="dataset-tags-box"):
                tags = gr.HTML(elem_id="dataset-tags", js_on_load=CLICKS)
    facts = Facts(health=health, apply=apply, values=hidden("dataset-advice"), tags=tags)
    return Parts(
        dataset=dataset, manage_box=box, manage=manage, add_box=add_box, upload=upload, status=status, browse=browse,
        editor=editor, bulk=bulk, facts=facts, shown=hidden("dataset-shown"), jobs=hidden("dataset-jobs-stamp"),
        stamp=hidden("dataset-stamp"), lists=hidden("dataset-lists-stamp"),
    )  # fmt: skip


def _shown(ui: Ui, info: DatasetInfo) -> str:
    if not info.external:
        return info.name
    return ui.t("dataset.external" if info.present else "dataset.external_gone", name=info.name, path=info.path)


def _sure(ui: Ui, name: str) -> DeleteQuestion:
    with gr.Group(visible=False, elem_id=f"dataset-{name}-sure", elem_classes="question") as box:
        text = gr.Markdown()
        with gr.Row():
            yes = gr.Button(ui.t("dataset.sure.yes"), variant="stop", elem_id=f"dataset-{name}-yes")
            no = gr.Button(ui.t("frame.cancel"), elem_id=f"dataset-{name}-no")
    return DeleteQuestion(box=box, text=text, yes=yes, no=no)


def _repeats(ui: Ui, name: str, value: int) -> gr.Number:
    # Without limits: Gradio would refuse what lies beyond them before our own check can say what they are.
    return gr.Number(
        value, label=ui.t("dataset.repeats"), info=ui.t("dataset.repeats.help"), precision=0,
        elem_id=f"dataset-{name}", min_width=120,
    )  # fmt: skip


def _button(ui: Ui, key: str, name: str, **options: Any) -> gr.Button:
    return gr.Button(ui.t(key), elem_id=f"dataset-{name}", min_width=80, **options)


def _manage(ui: Ui) -> ManageParts:
    t = ui.t
    with gr.Row(equal_height=True, elem_classes="ds-form"):
        name = gr.Textbox(label=t("dataset.new.name"), max_length=120, elem_id="dataset-name", min_width=160)
        repeats = _repeats(ui, "repeats", 1)
        create = _button(ui, "dataset.create", "create", variant="primary")
    with gr.Row(equal_height=True, elem_classes="ds-form"):
        folder = gr.Textbox(
            label=t("dataset.point.folder"), info=t("dataset.point.help"), elem_id="dataset-folder", min_width=160
        )
        point = _button(ui, "dataset.point", "point")
    with gr.Row(equal_height=True, elem_classes="ds-form"):
        new_name = gr.Textbox(label=t("dataset.rename.name"), max_length=120, elem_id="dataset-new-name", min_width=160)
        rename = _button(ui, "dataset.rename", "rename")
        delete = _button(ui, "dataset.delete", "delete", variant="stop")
        forget = _button(ui, "dataset.forget", "forget", visible=False)
    gr.Markdown(t("dataset.concepts.help"))
    with gr.Row(equal_height=True, elem_classes="ds-form"):
        concept = gr.Dropdown([], label=t("dataset.concept"), elem_id="dataset-concept", min_width=160)
        label = gr.Textbox(label=t("dataset.concept.name"), max_length=100, elem_id="dataset-label", min_width=140)
        concept_repeats = _repeats(ui, "concept-repeats", 1)
    with gr.Row():
        add = _button(ui, "dataset.concept.add", "concept-add")
        change = _button(ui, "dataset.concept.change", "concept-change")
        delete_concept = _button(ui, "dataset.concept.delete", "concept-delete", variant="stop")
    return ManageParts(
        name=name,
        repeats=repeats,
        create=create,
        folder=folder,
        point=point,
        new_name=new_name,
        rename=rename,
        delete=delete,
        forget=forget,
        concept=concept,
        label=label,
        concept_repeats=concept_repeats,
        add=add,
        change=change,
        delete_concept=delete_concept,
        sure=_sure(ui, "manage"),
        asked=hidden("dataset-asked"),
    )


def _upload(ui: Ui) -> Upload:
    t = ui.t
    with gr.Row(equal_height=True):
        target = gr.Dropdown([], label=t("dataset.target"), elem_id="dataset-target", min_width=160)
        overwrite = gr.Checkbox(
            False, label=t("dataset.overwrite"), info=t("dataset.overwrite.help"), elem_id="dataset-overwrite"
        )
    with gr.Row():
        files = gr.File(
            file_count="multiple", label=t("dataset.files"), elem_id="dataset-files", height=140, min_width=220
        )
        folder = gr.File(
            file_count="directory", label=t("dataset.directory"), elem_id="dataset-directory", height=140, min_width=220
        )
    return Upload(
        target=target,
        overwrite=overwrite,
        files=files,
        folder=folder,
        begins=gr.Button("", visible="hidden", elem_id="dataset-upload-begins"),
        into=hidden("dataset-into"),
        concept=hidden("dataset-into-concept"),
    )


def _browse(ui: Ui) -> Browse:
    t = ui.t
    shows = [(t(f"dataset.show.{show}"), show) for show in get_args(Show)]
    with gr.Row(equal_height=True):
        search = gr.Textbox(label=t("dataset.search"), elem_id="dataset-search", min_width=140)
        tag = gr.Textbox(label=t("dataset.tag"), elem_id="dataset-tag", min_width=120)
        show = gr.Dropdown(shows, value="all", label=t("dataset.show"), elem_id="dataset-show", min_width=140)
        folder = gr.Dropdown([], label=t("dataset.in_folder"), elem_id="dataset-in-folder", min_width=140)
    with gr.Row(elem_classes="ds-pager"):
        count = gr.Markdown(elem_id="dataset-count")
        before = _button(ui, "dataset.page.before", "page-before", size="sm", scale=0)
        after = _button(ui, "dataset.page.after", "page-after", size="sm", scale=0)
        clear = _button(ui, "dataset.clear", "clear", size="sm", scale=0)
    grid = gr.HTML(elem_id="dataset-grid", js_on_load=CLICKS)
    with gr.Row(elem_classes="ds-lower"):
        lower = (
            _button(ui, "dataset.page.before", "page-before-lower", size="sm", scale=0, visible=False),
            _button(ui, "dataset.page.after", "page-after-lower", size="sm", scale=0, visible=False),
        )
    return Browse(
        search=search, show=show, folder=folder, tag=tag, clear=clear, grid=grid, count=count, before=before,
        after=after, lower=lower, page=hidden("dataset-page"),
    )  # fmt: skip


def _editor(ui: Ui) -> Editor:
    t = ui.t
    with gr.Group(visible=False, elem_id="dataset-editor") as box:
        picture = gr.HTML(elem_id="dataset-picture")
        caption = gr.Textbox(
            label=t("dataset.caption"), info=t("dataset.caption.help"), lines=5, max_lines=14, elem_id="dataset-caption"
        )
        said = gr.Markdown(elem_id="dataset-said")
        unsaved = _unsaved(ui)
        with gr.Row(elem_classes="ds-buttons"):
            previous = _button(ui, "dataset.previous", "previous")
            save = _button(ui, "dataset.save", "save")
            save_next = _button(ui, "dataset.save_next", "save-next", variant="primary")
            following = _button(ui, "dataset.next", "next")
        with gr.Row(elem_classes="ds-buttons"):
            close = _button(ui, "dataset.close", "close", size="sm")
            delete = _button(ui, "dataset.delete_image", "delete-image", variant="stop", size="sm")
        sure = _sure(ui, "image")
        # Below: a small screen shows the picture, its caption and the buttons together.
        facts = gr.HTML(elem_id="dataset-facts")
    return Editor(
        box=box, picture=picture, facts=facts, caption=caption, previous=previous, save=save, save_next=save_next,
        next=following, close=close, delete=delete, said=said, unsaved=unsaved, sure=sure,
        chosen=hidden("dataset-chosen"), loaded=hidden("dataset-loaded"), kept=hidden("dataset-kept"),
        leave=gr.Button("", visible="hidden", elem_id="dataset-leave"),
    )  # fmt: skip


def _unsaved(ui: Ui) -> Unsaved:
    with gr.Column(visible=False, elem_id="dataset-unsaved") as box:
        text = gr.HTML()
        with gr.Row():
            keep = _button(ui, "dataset.unsaved.keep", "unsaved-keep")
            drop = _button(ui, "dataset.unsaved.drop", "unsaved-drop", variant="stop")
    return Unsaved(box=box, text=text, keep=keep, drop=drop)


def _bulk(ui: Ui) -> Bulk:
    t = ui.t
    kinds = [(t(f"dataset.bulk.{kind}"), kind) for kind in get_args(Kind)]
    gr.Markdown(t("dataset.bulk.scope"))
    kind = gr.Dropdown(kinds, value="prefix", label=t("dataset.bulk.kind"), elem_id="dataset-bulk-kind")
    with gr.Row(equal_height=True):
        text = gr.Textbox(
            label=t("dataset.bulk.text.prefix"), max_length=MAX_TEXT, elem_id="dataset-bulk-text", min_width=140
        )
        new = gr.Textbox(
            label=t("dataset.bulk.new"), max_length=MAX_TEXT, visible=False, elem_id="dataset-bulk-new", min_width=140
        )
    match_case = gr.Checkbox(True, label=t("dataset.bulk.match_case"), visible=False, elem_id="dataset-bulk-case")
    with gr.Row():
        preview = _button(ui, "dataset.bulk.preview", "bulk-preview")
        apply = _button(ui, "dataset.bulk.apply", "bulk-apply", variant="primary")
    undo = _button(ui, "dataset.bulk.undo_none", "bulk-undo", interactive=False, size="sm")
    view = gr.HTML(elem_id="dataset-bulk-view")
    return Bulk(
        kind=kind, text=text, new=new, match_case=match_case, preview=preview, apply=apply, undo=undo, view=view
    )
