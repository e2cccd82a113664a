"""The models and LoRAs that the workspace keeps: download, delete."""

from typing import Any

import gradio as gr
from markupsafe import Markup

from newbie_gui.pages.merge.jobs_panel import texts_of_live_jobs
from newbie_gui.pages.merge.render import CLICKS, things_view
from newbie_gui.pages.merge.stock import Asset, InventoryCache, remove
from newbie_gui.pages.ui import ACTION, Ui
from trainer_core.contracts.errors import UserError


class ThingsPanel:
    view: gr.HTML

    def __init__(self, ui: Ui, shelf: InventoryCache) -> None:
        self._ui = ui
        self._shelf = shelf

    def place(self) -> None:
        t = self._ui.t
        with gr.Accordion(t("merge.things"), open=False, elem_id="merge-things-box"):
            gr.Markdown(t("merge.things.help"))
            self.view = gr.HTML(elem_id="merge-things", js_on_load=CLICKS)
            self._key = gr.Textbox("", visible="hidden", show_label=False, elem_id="merge-thing-key")
            with gr.Column(visible=False, elem_id="merge-sure") as self._sure:
                self._question = gr.Markdown("")
                with gr.Row():
                    self._yes = gr.Button(t("merge.things.sure"), variant="stop", elem_id="merge-sure-yes")
                    self._no = gr.Button(t("frame.cancel"), elem_id="merge-sure-no")

    def wire(self) -> None:
        asked = [self._key, self._sure, self._question]
        self.view.select(self._ui.guarded(self._asked), None, asked, **ACTION)
        self._no.click(lambda: (gr.update(visible=False), ""), None, [self._sure, self._key], **ACTION)
        self._yes.click(self._ui.guarded(self._removed), self._key, [self._sure, self._key, self.view], **ACTION)

    def html(self) -> Markup:
        """As of now."""
        return things_view(self._ui, self._shelf.now().things)

    def _asked(self, event: gr.EventData) -> tuple[Any, Any, Any]:
        data = event._data if isinstance(event._data, dict) else {}
        thing = self._thing(data.get("key"))
        # Backticks show a name as it is, whatever Markdown it holds.
        name = thing.path.name.replace("`", "'")
        return thing.key, gr.update(visible=True), self._ui.t("merge.things.ask", name=f"`{name}`")

    def _removed(self, key: str) -> tuple[Any, Any, Any]:
        thing = self._thing(key)
        remove(self._ui.workspace, thing, texts_of_live_jobs(self._ui))
        self._shelf.now(anew=True)
        gr.Info(self._ui.t("merge.things.removed", name=thing.path.name))
        return gr.update(visible=False), "", str(self.html())

    def _thing(self, key: object) -> Asset:
        """Raises UserError `thing_missing`."""
        found = next((thing for thing in self._shelf.now(anew=True).things if thing.key == key), None)
        if found is None:
            raise UserError("thing_missing", self._ui.t("merge.error.thing_gone"))
        return found
