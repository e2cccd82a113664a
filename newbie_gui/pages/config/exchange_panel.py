"""Import of another trainer's config with a report of every key; export of the exact TOML and its command line."""

import base64
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import gradio as gr
from markupsafe import Markup

from newbie_gui.pages.config.fields import Fields, Fill
from newbie_gui.pages.config.form import default_values, values_from
from newbie_gui.pages.config.importing import Imported, import_config, report_table
from newbie_gui.pages.config.store import ConfigStore, toml_of
from newbie_gui.pages.html import note
from newbie_gui.pages.ui import QUIET, Ui
from trainer_core.contracts.config import options
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.validation import all_problems


class ExchangePanel:
    """The panel of one page; `place` it, then `wire` it to the fields."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._store = ConfigStore(ui.workspace)

    def place(self) -> None:
        t = self._ui.t
        with gr.Accordion(t("config.import"), open=False, elem_id="config-import"):
            gr.Markdown(t("config.import.help"))
            self._file = gr.File(label=t("config.import.file"), file_types=[".toml"], elem_id="config-import-file")
            self._without = gr.CheckboxGroup(
                [],
                label=t("config.import.without"),
                info=t("config.import.without.help"),
                visible=False,
                elem_id="config-import-without",
            )
            self._import = gr.Button(t("config.import.read"), elem_id="config-import-read", size="md")
            self._report = gr.HTML(elem_id="config-import-report")
        with gr.Accordion(t("config.export"), open=False, elem_id="config-export"):
            self._show = gr.Button(t("config.export.show"), elem_id="config-export-show", size="md")
            self._links = gr.HTML(elem_id="config-export-links")
            self._toml = gr.Textbox(
                label=t("config.export.toml"),
                lines=6,
                max_lines=16,
                interactive=False,
                buttons=["copy"],
                visible=False,
                elem_id="config-export-toml",
            )

    def wire(self, fields: Fields, filled: list[Any], fill: Fill) -> None:
        """``fill`` gives the updates that put values into the form, for the outputs ``filled``."""
        self._fill = fill
        self._fields = fields
        controls = list(fields.controls.values())
        # Not through the queue: its progress marks on every control cost the browser seconds.
        self._import.click(self._imported, {self._file, self._without}, [*filled, self._without, self._report], **QUIET)
        self._show.click(self._exported, set(controls), [self._links, self._toml], **QUIET)
        self._file.change(self._forget, None, [self._without, self._report], **QUIET)

    def _forget(self) -> dict[Any, Any]:
        """Another file: its keys are not those that were ticked."""
        # Made anew each time: Gradio takes the value out of an update that it has sent.
        return {self._without: gr.update(choices=[], value=[], visible=False), self._report: ""}

    def _imported(self, data: dict[Any, Any]) -> dict[Any, Any]:
        ui, t = self._ui, self._ui.t
        if not data[self._file]:
            return {self._report: _said(note("error", t("config.import.none")), Markup(""))}
        ticked = [str(key) for key in data[self._without] or ()]
        file = Path(str(data[self._file]))
        try:
            imported = import_config(file, default_values(ui.workspace), without=ticked)
        except (UserError, OSError) as error:
            # The person knows it by its name, not by the place where uploads are kept.
            said = ui.say(error).replace(str(file), file.name)
            return {self._report: _said(note("error", said), Markup(""))}
        table = report_table(imported, ui)
        if imported.blocking:
            keys = [*imported.blocking, *ticked]
            words = note("warning", t("config.import.blocked", names=t.joined(imported.blocking)))
            choice = gr.update(choices=keys, value=ticked, visible=True)
            return {self._without: choice, self._report: _said(words, table)}
        return {
            **self._fill(imported.values),
            self._without: gr.update(choices=ticked, value=ticked, visible=bool(ticked)),
            self._report: _said(self._done(imported), table),
        }

    def _done(self, imported: Imported) -> Markup:
        t, count = self._ui.t, imported.unnamed
        if not imported.invalid:
            return note("good", t("config.import.done", count=count))
        return note("warning", t("config.import.invalid", names=t.joined(imported.invalid), count=count))

    def _exported(self, data: dict[Any, Any]) -> dict[Any, Any]:
        values = values_from(self._fields.read(data))
        text = toml_of(values)
        name = self._file_name(values)
        _, problems = all_problems(options(), values)
        parts = [self._download(name, text), self._command(name, text)]
        if problems:
            parts.insert(0, note("warning", self._ui.t("config.export.problems")))
        return {
            self._links: str(Markup("<div>{}</div>").format(Markup("").join(parts))),
            self._toml: gr.update(value=text, visible=True),
        }

    def _file_name(self, values: dict[str, Any]) -> str:
        try:
            return self._store.path(str(values.get("output_name"))).name
        except UserError:
            return "config.toml"

    def _download(self, name: str, text: str) -> Markup:
        """The file travels in the link itself: it exists nowhere on the server's disk."""
        data = base64.b64encode(text.encode()).decode()
        return Markup(
            '<p><a class="config-download" download="{}" href="data:application/toml;base64,{}">{}</a></p>'
        ).format(name, data, self._ui.t("config.export.download", name=name))

    def _command(self, name: str, text: str) -> Markup:
        saved = self._ui.workspace.configs / name
        same = saved.is_file() and saved.read_bytes() == text.encode()
        command = [sys.executable, "-m", "trainer_core", "train", str(saved) if same else name]
        line = subprocess.list2cmdline(command) if os.name == "nt" else shlex.join(command)
        return Markup("<p>{}</p><pre class='config-command'><code>{}</code></pre><p class='muted'>{}</p>").format(
            self._ui.t("config.export.command"), line, self._ui.t("config.export.folder", folder=REPOSITORY)
        )


def _said(words: Markup, table: Markup) -> str:
    return str(Markup('<div role="status">{}</div>{}').format(words, table))
