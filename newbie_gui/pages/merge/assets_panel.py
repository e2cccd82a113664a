"""The models and LoRAs that the workspace keeps: download, delete."""

from typing import Any

import gradio as gr
from markupsafe import Markup

from newbie_gui.fresh import Fresh
from newbie_gui.pages.html import CLICKS
from newbie_gui.pages.merge.inventory import Asset, Inventory, remove, require_unused
from newbie_gui.pages.merge.jobs_panel import texts_of_live_jobs
from newbie_gui.pages.merge.render import assets_view
from newbie_gui.pages.ui import ACTION, Ui, hidden, said
from trainer_core.contracts.errors import UserError


class AssetsPanel:
    view: gr.HTML

    def __init__(self, ui: Ui, inventory: Fresh[Inventory]) -> None:
        self._ui = ui
        self._inventory = inventory

    def place(self) -> None:
        t = self._ui.t
        with gr.Accordion(t("merge.assets"), open=False, elem_id="merge-assets-box"):
            gr.Markdown(t("merge.assets.help"))
            self.view = gr.HTML(elem_id="merge-assets", js_on_load=CLICKS)
            self._key = hidden("merge-asset-key")
            with gr.Column(visible=False, elem_id="merge-sure", elem_classes="question") as self._sure:
                self._question = gr.Markdown("")
                with gr.Row():
                    self._yes = gr.Button(t("merge.assets.sure"), variant="stop", elem_id="merge-sure-yes")
                    self._no = gr.Button(t("frame.cancel"), elem_id="merge-sure-no")

    def wire(self) -> None:
        asked = [self._key, self._sure, self._question]
        self.view.select(self._ui.guarded(self._asked), None, asked, **ACTION)
        self._no.click(lambda: (gr.update(visible=False), ""), None, [self._sure, self._key], **ACTION)
        self._yes.click(self._ui.guarded(self._removed), self._key, [self._sure, self._key, self.view], **ACTION)

    def html(self) -> Markup:
        """As of now."""
        return assets_view(self._ui, self._inventory.now().assets)

    def _asked(self, event: gr.EventData) -> tuple[Any, Any, Any]:
        asset = self._asset(said(event, "on"))
        require_unused(asset, texts_of_live_jobs(self._ui))
        # Backticks show a name as it is, whatever Markdown it holds.
        name = asset.path.name.replace("`", "'")
        return asset.key, gr.update(visible=True), self._ui.t("merge.assets.ask", name=f"`{name}`")

    def _removed(self, key: str) -> tuple[Any, Any, Any]:
        asset = self._asset(key)
        remove(self._ui.workspace, asset, texts_of_live_jobs(self._ui))
        self._inventory.now(anew=True)
        gr.Info(self._ui.t("merge.assets.removed", name=asset.path.name))
        return gr.update(visible=False), "", str(self.html())

    def _asset(self, key: str) -> Asset:
        """Raises UserError `asset_missing`."""
        found = next((asset for asset in self._inventory.now(anew=True).assets if asset.key == key), None)
        if found is None:
            raise UserError("asset_missing", self._ui.t("merge.error.asset_gone"))
        return found
