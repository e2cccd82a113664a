"""One page in one language: header, guide and the tabs, wired together."""

from pathlib import Path
from typing import Any

import gradio as gr

from newbie_gui.pages import disk, guide, header
from newbie_gui.pages.checked import CheckedBlocks
from newbie_gui.pages.config import tab as config
from newbie_gui.pages.dataset import tab as dataset
from newbie_gui.pages.merge import tab as merge
from newbie_gui.pages.train import tab as train
from newbie_gui.pages.ui import ACTION, QUIET, Ui, held
from newbie_gui.texts import Lang, Texts
from trainer_core.contracts.fsutil import json_text

STATIC = Path(__file__).resolve().parents[1] / "static"
# What Gradio's own words ("Drop file here") and the browser's spelling go by.
_LOCALES = {"en": "en", "zh": "zh-CN"}
_SYSTEM_FONTS = (
    "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "PingFang SC", "Microsoft YaHei",
    "Noto Sans CJK SC", "sans-serif",
)  # fmt: skip
# Remembered: the data set whose folder went into the form last.
_TAKEN_OVER = "data_in_form"
_MONO_FONTS = ("ui-monospace", "Consolas", "Noto Sans Mono", "monospace")


def build_page(ui: Ui) -> gr.Blocks:
    """The whole page; nothing of it depends on who opens it."""
    page = CheckedBlocks(
        ui.workspace.uploads, ui.t("frame.error.value"), title=ui.t("frame.title"), analytics_enabled=False,
        fill_width=True,
    )  # fmt: skip
    with page:
        header.build(ui)
        busy = gr.HTML("", elem_id="frame-busy")
        demo = guide.build(ui, page)
        with gr.Tabs(elem_id="tabs"):
            with gr.Tab(ui.t("frame.tab.dataset"), id="dataset", elem_id="tab-dataset"):
                pictures = dataset.build(ui)
            with gr.Tab(ui.t("frame.tab.config"), id="config", elem_id="tab-config"):
                settings = config.build(ui)
            with gr.Tab(ui.t("frame.tab.train"), id="train", elem_id="tab-train"):
                training = train.build(ui, settings)
            with gr.Tab(ui.t("frame.tab.merge"), id="merge", elem_id="tab-merge"):
                merging = merge.build(ui)
            with gr.Tab(ui.t("frame.tab.disk"), id="disk", elem_id="tab-disk"):
                disk.build(ui)
        page.load(training.load, training.inputs, training.outputs, **QUIET)
        demo.success(training.suited, training.inputs, training.outputs, **QUIET)
        page.load(merging.load, None, merging.outputs, **QUIET)
        _connect_data(ui, pictures, settings)
        # "Use for merge" on the Train tab.
        training.picked.success(
            ui.guarded(lambda values: merging.use(values, values[training.lora])),
            {training.lora, *merging.inputs}, merging.outputs, **ACTION,
        )  # fmt: skip
    _show_progress_on(busy, page)
    return page


def words_for_gradio(ui: Ui) -> gr.I18n:
    """What Gradio tells screen readers by its key, for want of a word."""
    return gr.I18n(**{_LOCALES[ui.lang]: {"common.complete": ui.t("frame.complete")}})


def _show_progress_on(place: gr.HTML, page: gr.Blocks) -> None:
    """Let one small place say that the page works on something.

    Else every component that any event may change is a place for it, and Gradio's script renews each of them, with
    a copy of its value, at each beginning and end of every event: with all our tabs that took seconds a click.
    """
    for handler in page.fns.values():
        handler.show_progress_on = [place]


def _connect_data(ui: Ui, pictures: dataset.DatasetTab, settings: config.ConfigTab) -> None:
    """What is chosen on the Dataset tab is what will be trained on; its advice goes into the form."""

    def chosen(name: str | None) -> Any:
        folder = ui.datasets.folder_of(name) if name else ""
        # A page that is opened anew chooses the last data set again; the form may have gone elsewhere meanwhile.
        if not folder or ui.remember.get(_TAKEN_OVER) == folder:
            return gr.skip()
        ui.remember.set(_TAKEN_OVER, folder)
        return settings.fill({"train_data_dir": folder})

    def advised(values: str) -> Any:
        wanted = held(values)
        if not wanted or not isinstance(wanted, dict):
            return gr.skip()
        said = (f"{ui.t(f'options.{name}')} = {value}" for name, value in wanted.items())
        gr.Info(ui.t("frame.advice_applied", values=ui.t.joined(said)))
        return settings.fill(wanted)

    form = settings.outputs
    pictures.dataset.change(ui.guarded(chosen), pictures.dataset, form, **ACTION)
    pictures.apply.click(ui.guarded(advised), pictures.values, form, **ACTION)


def theme() -> gr.themes.Base:
    """Gradio's default look with fonts that every system has: nothing is loaded from elsewhere."""
    # The default's blue under white has a contrast of 3.7, its grey help text 2.6; 4.5 is the least for text.
    return gr.themes.Default(primary_hue="blue", font=_SYSTEM_FONTS, font_mono=_MONO_FONTS).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_700",
        block_title_text_color="*neutral_700",
        input_placeholder_color="*neutral_500",
        button_cancel_background_fill="#b91c1c",
        button_cancel_background_fill_hover="#991b1b",
        button_cancel_background_fill_dark="#b91c1c",
        button_cancel_background_fill_hover_dark="#991b1b",
    )


def css() -> str:
    """All style sheets of ours, the frame's first."""
    return _own("css")


def top_script(lang: Lang) -> tuple[str, str]:
    """The page's language as HTML names it, and all scripts of ours: app.js has to run before all of Gradio's."""
    script = _own("js")
    t = Texts(lang)
    lost = {"said": t("frame.lost"), "close": t("frame.lost.close")}
    words = {
        "__LOCALE__": _LOCALES[lang], "__RESTARTED__": json_text(t("frame.restarted")), "__LOST__": json_text(lost),
    }  # fmt: skip
    for place, word in words.items():
        script = script.replace(place, word)
    return _LOCALES[lang], script


def _own(suffix: str) -> str:
    """All files of that kind, the frame's first."""
    frame = STATIC / f"app.{suffix}"
    files = [frame, *(file for file in sorted(STATIC.glob(f"*.{suffix}")) if file != frame)]
    return "\n".join(file.read_text(encoding="utf-8") for file in files)
