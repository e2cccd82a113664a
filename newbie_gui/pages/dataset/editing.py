"""The large view: opening, saving, going on; and edits of many captions."""

from typing import Any, get_args

import gradio as gr

from newbie_gui.pages.dataset.bulk_view import render_plan
from newbie_gui.pages.dataset.layout import Parts
from newbie_gui.pages.dataset.showing import Shower, Updates, Values
from newbie_gui.pages.dataset.store import DatasetStore, Look
from newbie_gui.pages.ui import Ui
from trainer_core.contracts.errors import UserError
from trainer_core.dataset.bulk import BulkPlan, apply_edit, plan_edit, undo_edit
from trainer_core.dataset.caption_edits import Kind, checked_edit
from trainer_core.dataset.caption_files import checked_caption, write_caption_file
from trainer_core.dataset.filters import select

_TWO_FIELDS = ("replace", "regex", "rename_tag")
_NO_FIELDS = ("sort", "dedupe")


class Editing:
    """Handlers; each returns updates or raises UserError. What was typed is saved before another picture opens."""

    def __init__(self, ui: Ui, store: DatasetStore, parts: Parts, show: Shower) -> None:
        self._ui = ui
        self._store = store
        self._parts = parts
        self._show = show

    @property
    def outputs(self) -> list[Any]:
        return [*self._show.outputs, self._parts.editor.sure.box, self._parts.editor.sure.text]

    @property
    def bulk_inputs(self) -> set[Any]:
        bulk = self._parts.bulk
        return {bulk.kind, bulk.text, bulk.new, bulk.match_case, *self._show.inputs}

    def open(self, values: Values, relative: str, *, rewrite: bool = False) -> Updates:
        """Show a picture large; the one shown before is saved, as `_saved` says."""
        look = self._saved(values, rewrite=rewrite)
        self._store.ensure_tokens(look, self._ui.t("dataset.job.tokens", name=look.info.name))
        return {**self._show.content(look, values), **self._show.opened(look, relative, values), **self._unasked()}

    def turn(self, step: int, *, rewrite: bool = False) -> Any:
        """Open the picture before (-1) or after (1) among those shown; the one shown before is saved."""

        def turned(values: Values) -> Updates:
            # Before saving: afterwards a filter such as "no caption" may not show this picture any more.
            names = [p.relative for p in select(self._show.look(values).view, self._show.filter(values))]
            chosen = values[self._parts.editor.chosen]
            place = names.index(chosen) + step if chosen in names else 0
            if not 0 <= place < len(names):
                said = self._ui.t(f"dataset.end.{step}")
                return {**self.save(values, rewrite=rewrite), self._parts.editor.said: said}
            return self.open(values, names[place], rewrite=rewrite)

        return turned

    def save(self, values: Values, *, rewrite: bool = True) -> Updates:
        """Write the caption; the picture stays open."""
        editor = self._parts.editor
        if not values[editor.chosen]:
            return self._show.closed()
        look = self._saved(values, rewrite=rewrite)
        relative = str(values[editor.chosen])
        updates = {**self._show.content(look, values), **self._show.opened(look, relative, values)}
        return {**updates, editor.said: self._ui.t("dataset.saved")}

    def close(self, values: Values) -> Updates:
        look = self._saved(values)
        closed = {**values, self._parts.editor.chosen: ""}
        return {**self._show.closed(), **self._show.content(look, closed), **self._unasked()}

    def ask(self, values: Values) -> Updates:
        sure = self._parts.editor.sure
        words = self._ui.t("dataset.sure.image", name=str(values[self._parts.editor.chosen]))
        return {sure.box: gr.update(visible=True), sure.text: words}

    def unask(self) -> Updates:
        return self._unasked()

    def delete(self, values: Values) -> Updates:
        """Move the open picture to the trash and open the next one."""
        look = self._show.look(values)
        picture = look.picture(str(values[self._parts.editor.chosen]))
        names = [p.relative for p in select(look.view, self._show.filter(values))]
        place = names.index(picture.relative) if picture.relative in names else -1
        shared = sum(other.caption_file == picture.caption_file for other in look.view.snapshot.pictures) > 1
        self._store.library.delete_image(look.info.name, picture.path, None if shared else picture.caption_file)
        rest = names[place + 1 : place + 2] or names[max(place - 1, 0) : max(place, 0)]
        emptied = {**values, self._parts.editor.chosen: ""}
        look = self._show.look(emptied)
        updates = {**self._show.content(look, emptied), **self._unasked()}
        opened = self._show.opened(look, rest[0], emptied) if rest else self._show.closed()
        return {**updates, **opened}

    def preview(self, values: Values) -> Updates:
        _, plan = self._plan(values)
        return {self._parts.bulk.view: str(render_plan(self._ui, plan))}

    def apply(self, values: Values) -> Updates:
        self._saved(values)
        look, plan = self._plan(values)
        self._store.require_no_import(look.info)
        count = apply_edit(plan, look.places)
        gr.Info(self._ui.t("dataset.bulk.done", count=count))
        said = self._ui.t("dataset.bulk.done", count=count)
        return {**self._after_bulk(values), self._parts.bulk.view: said}

    def undo(self, values: Values) -> Updates:
        look = self._saved(values)
        self._store.require_no_import(look.info)
        done = undo_edit(look.info.path, look.places)
        said = self._ui.t("dataset.bulk.undone", restored=done.restored, kept=done.kept)
        gr.Info(said)
        return {**self._after_bulk(values), self._parts.bulk.view: said}

    def fields(self, chosen: object) -> Updates:
        """The fields that a kind of edit needs, named after what goes into them."""
        bulk, t = self._parts.bulk, self._ui.t
        kind = chosen if isinstance(chosen, str) and chosen in get_args(Kind) else "prefix"
        label = (
            gr.update(visible=False)
            if kind in _NO_FIELDS
            else gr.update(visible=True, label=t(f"dataset.bulk.text.{kind}"))
        )
        return {
            bulk.text: label,
            bulk.new: gr.update(visible=kind in _TWO_FIELDS),
            bulk.match_case: gr.update(visible=kind in ("replace", "regex")),
            bulk.view: "",
        }

    def _plan(self, values: Values) -> tuple[Look, BulkPlan]:
        bulk = self._parts.bulk
        edit = checked_edit(
            str(values[bulk.kind]),
            str(values[bulk.text] or ""),
            str(values[bulk.new] or ""),
            match_case=bool(values[bulk.match_case]),
        )
        look = self._show.look(values)
        return look, plan_edit(select(look.view, self._show.filter(values)), edit)

    def _after_bulk(self, values: Values) -> Updates:
        look = self._show.look(values)
        chosen = str(values[self._parts.editor.chosen] or "")
        opened = self._show.opened(look, chosen, values) if chosen else {}
        return {**self._show.content(look, values), **opened}

    def _saved(self, values: Values, *, rewrite: bool = False) -> Look:
        """Write the open caption if it was changed; returns the data set as it is then.

        ``rewrite``: somebody asks for it, so one that is not UTF-8 is written too. Not in passing: it is only guessed.

        Raises UserError `caption_changed`: somebody else changed it meanwhile.
        """
        editor = self._parts.editor
        look = self._show.look(values)
        relative = str(values.get(editor.chosen) or "")
        picture = look.view.snapshot.by_path.get(relative)
        text, loaded = checked_caption(str(values.get(editor.caption) or "")), str(values.get(editor.loaded) or "")
        if picture is None:
            return look
        if text in (loaded, picture.caption.text) and not (rewrite and picture.caption.state == "encoding"):
            return look
        if picture.caption.text != loaded:
            raise UserError(
                "caption_changed",
                f"The caption of {relative} was changed elsewhere meanwhile: {picture.caption.text}",
                ["Copy what you typed, open the picture again, and put both together."],
            )
        write_caption_file(picture.path, picture.caption_file, text)
        return self._show.look(values)

    def _unasked(self) -> Updates:
        return {self._parts.editor.sure.box: gr.update(visible=False)}
