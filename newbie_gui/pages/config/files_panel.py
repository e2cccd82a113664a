"""Saved settings: save, load, duplicate, delete; start over."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from markupsafe import Markup

from newbie_gui.pages.config.fields import Fields, Fill
from newbie_gui.pages.config.form import values_from
from newbie_gui.pages.config.left_out import left_out
from newbie_gui.pages.config.store import ConfigStore, fits_toml
from newbie_gui.pages.config.strategy import new_values
from newbie_gui.pages.html import note
from newbie_gui.pages.ui import QUIET, Ui, hidden
from trainer_core.contracts.config import options
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.validation import all_problems


class FilesPanel:
    """The panel of one page; `place` it, then `wire` it to the fields."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._store = ConfigStore(ui.workspace)

    def place(self) -> None:
        t = self._ui.t
        folder = self._ui.workspace.configs
        with gr.Row(elem_classes="config-buttons"):
            self._saved = gr.Dropdown(
                [],
                label=t("config.files.saved"),
                info=t("config.files.saved.help", folder=folder),
                elem_id="config-saved",
                scale=3,
                min_width=240,
            )
            self._load = gr.Button(t("config.files.load"), elem_id="config-load", min_width=120, size="md")
            self._copy = gr.Button(t("config.files.duplicate"), elem_id="config-duplicate", min_width=120, size="md")
            self._delete = gr.Button(t("config.files.delete"), elem_id="config-delete", min_width=120, size="md")
            self._delete_sure = gr.Button("", variant="stop", visible=False, elem_id="config-delete-sure", size="md")
        with gr.Row(elem_classes="config-buttons"):
            self._name = gr.Textbox(label=t("config.files.name"), max_lines=1, elem_id="config-name", scale=3)
            self._save = gr.Button(t("config.files.save"), elem_id="config-save", min_width=120, size="md")
            self._overwrite = gr.Button("", variant="stop", visible=False, elem_id="config-overwrite", size="md")
        with gr.Row(elem_classes="config-buttons"):
            self._reset = gr.Button(t("config.files.reset"), elem_id="config-reset", min_width=120, size="md")
            self._reset_sure = gr.Button(
                t("config.files.reset.sure"), variant="stop", visible=False, elem_id="config-reset-sure", size="md"
            )
        self._said = gr.HTML(elem_id="config-files-said")
        # The name that the open question is about: the one chosen or typed may be another by the time of the answer.
        self._asked = hidden("config-files-asked")

    @property
    def refreshed(self) -> list[Component]:
        """What `refresh` updates."""
        return [self._saved]

    def refresh(self) -> dict[Any, Any]:
        """Updates for a fresh page: the files there are, the last used one chosen."""
        names = self._store.names()
        last = self._ui.remember.get("config")
        return {self._saved: gr.update(choices=names, value=last if last in names else None)}

    def wire(self, fields: Fields, filled: list[Any], fill: Fill) -> None:
        """``fill`` gives the updates that put values into the form, for the outputs ``filled``."""
        self._fill = fill
        controls = list(fields.controls.values())
        self._fields = fields
        asking = [self._delete_sure, self._overwrite, self._reset_sure, self._asked]
        outputs = [*filled, self._saved, self._name, self._said, *asking]
        with_form: set[Any] = {*controls, self._name, self._asked}
        for button, handler in (
            (self._load, self._loaded),
            (self._copy, self._copied),
            (self._delete, self._asked_delete),
            (self._delete_sure, self._deleted),
            (self._reset, self._asked_reset),
            (self._reset_sure, self._was_reset),
            (self._save, self._saved_new),
            (self._overwrite, self._saved_over),
        ):
            inputs: set[Any] = with_form if button in (self._save, self._overwrite) else {self._saved, self._asked}
            # Not through the queue: its progress marks on every control cost the browser seconds.
            button.click(self._told(handler), inputs, outputs, **QUIET)

    def _told(self, handler: Callable[[dict[Any, Any]], dict[Any, Any]]) -> Callable[[dict[Any, Any]], dict[Any, Any]]:
        """``handler``, whose errors are said in the panel, where they stay."""

        def safe(data: dict[Any, Any]) -> dict[Any, Any]:
            try:
                return handler(data)
            except (UserError, OSError) as error:
                return self._quiet("error", self._ui.say(error))

        return safe

    def _loaded(self, data: dict[Any, Any]) -> dict[Any, Any]:
        name = self._chosen(data)
        loaded = self._store.load(name)
        self._ui.remember.set("config", name)
        lost = left_out(self._ui, loaded.values, loaded.unknown)
        words = [self._ui.t("config.files.loaded", name=name), *lost]
        return {**self._fill(loaded.values), self._name: name, **self._quiet("warning" if lost else "good", *words)}

    def _copied(self, data: dict[Any, Any]) -> dict[Any, Any]:
        name = self._store.duplicate(self._chosen(data))
        return {**self._list(name), **self._quiet("good", self._ui.t("config.files.saved_as", name=name))}

    def _asked_delete(self, data: dict[Any, Any]) -> dict[Any, Any]:
        name = self._chosen(data)
        words = self._ui.t("config.files.delete.sure", name=name)
        return {**self._quiet(), self._delete_sure: gr.update(value=words, visible=True), self._asked: name}

    def _deleted(self, data: dict[Any, Any]) -> dict[Any, Any]:
        name = data[self._asked] or ""
        self._store.delete(name)
        return {**self._list(None), **self._quiet("good", self._ui.t("config.files.deleted", name=name))}

    def _asked_reset(self, data: dict[Any, Any]) -> dict[Any, Any]:
        return {**self._quiet(), self._reset_sure: gr.update(visible=True)}

    def _was_reset(self, data: dict[Any, Any]) -> dict[Any, Any]:
        return {**self._fill(new_values(self._ui)), **self._quiet("good", self._ui.t("config.files.reset.done"))}

    def _saved_new(self, data: dict[Any, Any]) -> dict[Any, Any]:
        name = (data[self._name] or "").strip()
        if self._store.exists(name):
            words = self._ui.t("config.files.exists", name=name)
            over = gr.update(value=self._ui.t("config.files.overwrite", name=name), visible=True)
            return {**self._quiet("warning", words), self._overwrite: over, self._asked: name}
        return self._save_as(name, data, overwrite=False)

    def _saved_over(self, data: dict[Any, Any]) -> dict[Any, Any]:
        return self._save_as(data[self._asked] or "", data, overwrite=True)

    def _save_as(self, name: str, data: dict[Any, Any], *, overwrite: bool) -> dict[Any, Any]:
        values = values_from(self._fields.read(data))
        self._store.save(name, values, overwrite=overwrite)
        self._ui.remember.set("config", name)
        _, problems = all_problems(options(), values)
        key, kind = ("config.files.saved_broken", "warning") if problems else ("config.files.saved_as", "good")
        words = [self._ui.t(key, name=name)]
        empty = [problem.field for problem in problems if not fits_toml(values.get(problem.field))]
        if empty:
            names = self._ui.t.joined(self._ui.t(f"options.{field}") for field in dict.fromkeys(empty))
            words.append(self._ui.t("config.files.empty", names=names))
        return {**self._list(name), **self._quiet(kind, *words)}

    def _chosen(self, data: Mapping[Any, Any]) -> str:
        name = data[self._saved]
        if not isinstance(name, str) or not name:
            raise UserError("config_none", self._ui.t("config.files.none"))
        return name

    def _list(self, name: str | None) -> dict[Any, Any]:
        return {self._saved: gr.update(choices=self._store.names(), value=name)}

    def _quiet(self, kind: str = "", *words: str) -> dict[Any, Any]:
        """What was done, read out where it stands; every question that was open is closed."""
        said = Markup('<div role="status">{}</div>').format(note(kind, *words)) if words else ""
        closed = gr.update(visible=False)
        questions = (self._delete_sure, self._overwrite, self._reset_sure)
        return {**dict.fromkeys(questions, closed), self._asked: "", self._said: str(said)}
