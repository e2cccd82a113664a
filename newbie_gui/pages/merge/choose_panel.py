"""Base and LoRAs, each with its strength: what is merged and what is tried."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from newbie_gui.formatting import size_text
from newbie_gui.fresh import Fresh
from newbie_gui.pages.merge.incoming import receive
from newbie_gui.pages.merge.inventory import Inventory, Lora, base_of, base_of_text
from newbie_gui.pages.merge.plans import MOST_LORAS, STRENGTH, Stack, read_stack, title_of
from newbie_gui.pages.merge.render import again_view, received_view
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.errors import UserError
from trainer_core.planning.base_places import locate
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.lora_facts import newest_export
from trainer_core.planning.merged_loras import merged_again

Values = Mapping[Any, Any]


class ChoosePanel:
    """One row a LoRA; the next row appears when one is filled."""

    base: gr.Dropdown
    base_note: gr.HTML
    again: gr.HTML
    upload: gr.File
    report: gr.HTML

    def __init__(self, ui: Ui, inventory: Fresh[Inventory]) -> None:
        self._ui = ui
        self._inventory = inventory
        self.rows: list[gr.Row] = []
        self.loras: list[gr.Dropdown] = []
        self.strengths: list[gr.Slider] = []

    def place(self) -> None:
        t = self._ui.t
        gr.Markdown(f"### {t('merge.choose')}")
        self.base = gr.Dropdown(
            [], value=None, label=t("merge.base"), info=t("merge.base.help"), allow_custom_value=True,
            elem_id="merge-base",
        )  # fmt: skip
        self.base_note = gr.HTML(elem_id="merge-base-note")
        for number in range(1, MOST_LORAS + 1):
            with gr.Row(visible=number == 1, elem_classes="merge-lora") as row:
                lora = gr.Dropdown(
                    [("", "")], value="", label=t("merge.lora.number", number=number),
                    info=t("merge.lora.help") if number == 1 else None,
                    allow_custom_value=True, elem_id=f"merge-lora-{number}", scale=3, min_width=240,
                )  # fmt: skip
                strength = gr.Slider(
                    *STRENGTH, value=1.0, step=0.05, label=t("merge.strength.number", number=number),
                    info=t("merge.strength.help") if number == 1 else None, elem_id=f"merge-strength-{number}", scale=2,
                    min_width=200,
                )  # fmt: skip
            self.rows.append(row)
            self.loras.append(lora)
            self.strengths.append(strength)
        self.again = gr.HTML(elem_id="merge-again")
        self.upload = gr.File(
            label=t("merge.upload"), file_count="multiple", file_types=[".safetensors"], height=150,
            elem_id="merge-upload",
        )  # fmt: skip
        self.report = gr.HTML(elem_id="merge-upload-report")

    @property
    def inputs(self) -> set[Any]:
        return {self.base, *self.loras, *self.strengths}

    def stack(self, values: Values) -> Stack:
        """What is chosen. Raises UserError."""
        pairs = zip(self.loras, self.strengths, strict=True)
        return read_stack(self._ui.t, values[self.base], [(values[lora], values[strength]) for lora, strength in pairs])

    def chosen(self, values: Values) -> list[str]:
        return [str(values[lora]) for lora in self.loras if values[lora]]

    def lists(self, inventory: Inventory) -> dict[Any, Any]:
        """Updates of what can be chosen; what is chosen stays."""
        loras = [("", ""), *lora_choices(self._ui, inventory.loras)]
        updates: dict[Any, Any] = {lora: gr.update(choices=loras) for lora in self.loras}
        updates[self.base] = gr.update(choices=base_choices(self._ui, inventory))
        return updates

    def filled(self, inventory: Inventory, remembered: Mapping[str, Any]) -> dict[Any, Any]:
        """Values for a fresh page: what was chosen last, as far as it is there; else the newest LoRA and its base."""
        entries = [entry for entry in remembered.get("loras", []) if Path(str(entry.get("path", ""))).exists()]
        if not entries and inventory.loras:
            entries = [{"path": str(inventory.loras[0].path), "strength": 1.0}]
        base = str(remembered.get("base", ""))
        if not base or not Path(base).exists():
            first = base_of(Path(str(entries[0]["path"]))) if entries else ""
            base = first or str(TINY_BASE)
        values: dict[Any, Any] = {self.base: base}
        for entry, lora, strength in zip(entries, self.loras, self.strengths, strict=False):
            values |= {lora: str(entry["path"]), strength: float(entry.get("strength", 1.0))}
        return values

    def shown_rows(self, values: Values) -> dict[Any, Any]:
        """One empty row behind the last filled one."""
        last = max((number for number, lora in enumerate(self.loras) if values[lora]), default=-1)
        return {row: gr.update(visible=number <= last + 1) for number, row in enumerate(self.rows)}

    def warned(self, values: Values) -> str:
        """What the chosen base holds already of the chosen LoRAs."""
        base = _full_path(values[self.base])
        pairs = zip(self.loras, self.strengths, strict=True)
        named = [(_full_path(values[lora]), values[strength]) for lora, strength in pairs]
        loras = [(_weights_of(path), x) for path, x in named if path is not None and isinstance(x, int | float)]
        if base is None or not loras:
            return ""
        transformer = locate({"base_model_path": str(base)}).parts.get("transformer")
        return str(again_view(self._ui, merged_again(transformer, loras) if transformer else ()))

    def put(self, values: Values, path: str) -> dict[Any, Any]:
        """Updates that choose one more LoRA: in the first free row, else in place of the last."""
        if path in self.chosen(values):
            return {}
        free = next((lora for lora in self.loras if not values[lora]), self.loras[-1])
        place = self.loras.index(free)
        after = {row: gr.update(visible=True) for row in self.rows[: place + 2]}
        # The base that the first LoRA was trained on is nearly always the one that is meant.
        base = base_of_text(path) if place == 0 else ""
        updates: dict[Any, Any] = {free: gr.update(choices=self._choices(path), value=path), **after}
        return {**updates, self.base: base} if base else updates

    def _choices(self, path: str) -> list[tuple[str, str]]:
        choices = [("", ""), *lora_choices(self._ui, self._inventory.now(anew=True).loras)]
        known = any(value == path for _, value in choices)
        return choices if known else [*choices, (title_of(Path(path)), path)]

    def took(self, values: Values) -> dict[Any, Any]:
        """Files were uploaded: keep the good ones, choose the first of them, tell of each."""
        ui = self._ui
        received = receive([Path(str(file)) for file in values[self.upload] or []], ui.workspace.loras)
        updates: dict[Any, Any] = {self.upload: None, self.report: str(received_view(ui, received))}
        updates |= self.lists(self._inventory.now(anew=True))
        first = next((one.path for one in received if one.path is not None), None)
        return updates if first is None else {**updates, **self.put(values, str(first))}


def _full_path(text: object) -> Path | None:
    """A path as it may have been typed; None for what is none."""
    path = str(text or "").strip().strip('"')
    return Path(path) if path and "\0" not in path and Path(path).is_absolute() else None


def _weights_of(lora: Path) -> Path:
    """The file that a run folder stands for; what stands for none is said when it is used."""
    try:
        return newest_export(lora)
    except (UserError, OSError):
        return lora


def lora_choices(ui: Ui, loras: tuple[Lora, ...]) -> list[tuple[str, str]]:
    """(what is shown, path)."""
    return [
        (
            ui.t(
                "merge.lora.of_run" if lora.run else "merge.lora.kept",
                name=title_of(lora.path), run=lora.run, size=size_text(lora.size),
            ),
            str(lora.path),
        )
        for lora in loras
    ]  # fmt: skip


def base_choices(ui: Ui, inventory: Inventory) -> list[tuple[str, str]]:
    """(what is shown, path)."""
    builtin = str(TINY_BASE)
    return [(ui.t("merge.base.builtin") if path == builtin else Path(path).name, path) for path in inventory.bases]
