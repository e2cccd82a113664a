"""The large view: opening, saving, going on; and edits of many captions."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, get_args

import gradio as gr

from newbie_gui.datasets.store import DatasetState
from newbie_gui.pages.dataset.bulk_view import render_plan
from newbie_gui.pages.dataset.layout import Parts
from newbie_gui.pages.dataset.renderer import DatasetRenderer, Updates, Values
from newbie_gui.pages.html import note
from newbie_gui.pages.ui import Ui, held
from trainer_core.contracts.errors import UserError
from trainer_core.dataset.bulk import BulkPlan, apply_edit, plan_edit, undo_edit
from trainer_core.dataset.caption_edits import Kind, checked_edit
from trainer_core.dataset.caption_files import checked_caption, write_caption_file
from trainer_core.dataset.filters import select

_TWO_FIELDS = ("replace", "regex", "rename_tag")
_NO_FIELDS = ("sort", "dedupe")


class Editing:
    """Handlers; each returns updates or raises UserError. What was typed is saved before another picture opens."""

    def __init__(self, ui: Ui, parts: Parts, show: DatasetRenderer) -> None:
        self._ui = ui
        self._store = ui.datasets
        self._parts = parts
        self._show = show

    @property
    def outputs(self) -> list[Any]:
        return [*self._show.outputs, self._parts.editor.sure.box, self._parts.editor.sure.text]

    @property
    def bulk_inputs(self) -> set[Any]:
        bulk = self._parts.bulk
        return {bulk.kind, bulk.text, bulk.new, bulk.match_case, *self._show.inputs}

    def open(self, values: Values, relative: str) -> Updates:
        """Show a picture large; the one shown before is saved."""
        return self.leave(values, lambda values: self._opened(values, relative))

    def turn(self, step: int, *, rewrite: bool = False) -> Any:
        """Open the picture before (-1) or after (1) among those shown; the one shown before is saved."""

        def turned(values: Values) -> Updates:
            # Before saving: afterwards a filter such as "no caption" may not show this picture any more.
            names = [p.relative for p in select(self._show.current(values).view, self._show.filter(values))]
            chosen = values[self._parts.editor.chosen]
            place = names.index(chosen) + step if chosen in names else 0

            def moved(values: Values) -> Updates:
                if 0 <= place < len(names):
                    return self._opened(values, names[place])
                return self._stayed(values, self._ui.t(f"dataset.end.{step}"))

            return self.leave(values, moved, rewrite=rewrite)

        return turned

    def save(self, values: Values) -> Updates:
        """Write the caption; the picture stays open."""
        return self.leave(values, lambda values: self._stayed(values, self._ui.t("dataset.saved")), rewrite=True)

    def close(self, values: Values) -> Updates:
        return self.leave(values, self._closed)

    def left(self, values: Values) -> Updates:
        """The caption was left for something else on the page: it is written, and nothing else happens.

        What was written is told beside `loaded`: an answer that comes after another picture opened must not be taken
        for that one's caption.
        """
        editor, shown = self._parts.editor, str(values[self._parts.shown])

        def noted(values: Values) -> Updates:
            text = checked_caption(str(values[editor.caption] or ""))
            if text == checked_caption(self._last(values)):
                return gr.skip()
            # Thumbnails and numbers follow with a tick: made anew at once, they would be gone under the mouse.
            self._store.refresh_soon(shown)
            return {editor.kept: json.dumps([shown, values[editor.chosen], values[editor.loaded], text])}

        return self.leave(values, noted) if values[editor.chosen] else gr.skip()

    def leave(self, values: Values, then: Callable[[Values], Updates], *, rewrite: bool = False) -> Updates:
        """Save what was typed, as `_write` does, then go on; where it cannot be saved, ask what is to become of it."""
        editor = self._parts.editor
        try:
            written = self._write(values, rewrite=rewrite)
        except (UserError, OSError) as error:
            said = self._ui.t("dataset.unsaved", reason=self._ui.say(error))
            gr.Warning(said)
            gone = isinstance(error, UserError) and error.code == "image_missing"
            stays = {self._parts.dataset: gr.update(value=values[self._parts.shown])}
            return {
                editor.unsaved.box: gr.update(visible=True),
                editor.unsaved.text: str(note("warning", said)),
                editor.unsaved.keep: gr.update(visible=not gone),
                **stays,
            }
        try:
            return then(values)
        except (UserError, OSError) as error:
            if written is None:
                raise
            # The picture stays open, and its file holds what was typed: no change from elsewhere, as it would seem.
            gr.Warning(self._ui.say(error))
            return {editor.loaded: written, editor.kept: ""}

    def keep(self, values: Values) -> Updates:
        """What was typed goes over what somebody else wrote."""
        editor = self._parts.editor
        picture = self._show.of_open_picture(values).picture(str(values[editor.chosen]))
        return self.save({**values, editor.loaded: picture.caption.text, editor.kept: ""})

    def drop(self, values: Values) -> Updates:
        """What was typed is given up: the picture as it is on the disk, closed where it is there no more."""
        try:
            return self._show.opened(self._show.of_open_picture(values), str(values[self._parts.editor.chosen]), values)
        except (UserError, OSError):
            return self._show.closed()

    def ask(self, values: Values) -> Updates:
        sure = self._parts.editor.sure
        self._store.library.own(str(values[self._parts.shown]))
        words = self._ui.t("dataset.sure.image", name=str(values[self._parts.editor.chosen]))
        return {sure.box: gr.update(visible=True), sure.text: words}

    def unasked(self) -> Updates:
        return {self._parts.editor.sure.box: gr.update(visible=False)}

    def delete(self, values: Values) -> Updates:
        """Move the open picture to the trash and open the next one."""
        dataset = self._show.current(values)
        picture = dataset.picture(str(values[self._parts.editor.chosen]))
        names = [p.relative for p in select(dataset.view, self._show.filter(values))]
        place = names.index(picture.relative) if picture.relative in names else -1
        shared = sum(other.caption_file == picture.caption_file for other in dataset.view.snapshot.pictures) > 1
        self._store.library.delete_image(dataset.info.name, picture.path, None if shared else picture.caption_file)
        rest = names[place + 1 : place + 2] or names[max(place - 1, 0) : max(place, 0)]
        emptied = {**values, self._parts.editor.chosen: ""}
        dataset = self._show.current(emptied)
        updates = {**self._show.content(dataset, emptied), **self.unasked()}
        opened = self._show.opened(dataset, rest[0], emptied) if rest else self._show.closed()
        return {**updates, **opened}

    def preview(self, values: Values) -> Updates:
        _, plan = self._plan(values)
        return {self._parts.bulk.view: str(render_plan(self._ui, plan))}

    def apply(self, values: Values) -> Updates:
        dataset, plan = self._plan(values)
        self._store.require_no_import(dataset.info)
        count = apply_edit(plan, dataset.places)
        gr.Info(self._ui.t("dataset.bulk.done", count=count))
        said = self._ui.t("dataset.bulk.done", count=count)
        return {**self._after_bulk(values), self._parts.bulk.view: said}

    def undo(self, values: Values) -> Updates:
        dataset = self._show.current(values)
        self._store.require_no_import(dataset.info)
        done = undo_edit(dataset.info.path, dataset.places)
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

    def _opened(self, values: Values, relative: str) -> Updates:
        dataset = self._show.current(values)
        # Of a disk that is full there is more to say where something is saved.
        with suppress(UserError, OSError):
            self._store.ensure_tokens(dataset, self._ui.t("dataset.job.tokens", name=dataset.info.name))
        return {
            **self._show.content(dataset, values),
            **self._show.opened(dataset, relative, values),
            **self.unasked(),
        }

    def _stayed(self, values: Values, said: str) -> Updates:
        relative = str(values[self._parts.editor.chosen] or "")
        if not relative:
            return self._show.closed()
        dataset = self._show.current(values)
        updates = {**self._show.content(dataset, values), **self._show.opened(dataset, relative, values)}
        return {**updates, self._parts.editor.said: said}

    def _closed(self, values: Values) -> Updates:
        closed = {**values, self._parts.editor.chosen: ""}
        return {**self._show.closed(), **self._show.content(self._show.current(values), closed), **self.unasked()}

    def _plan(self, values: Values) -> tuple[DatasetState, BulkPlan]:
        bulk = self._parts.bulk
        edit = checked_edit(
            str(values[bulk.kind]),
            str(values[bulk.text] or ""),
            str(values[bulk.new] or ""),
            match_case=bool(values[bulk.match_case]),
        )
        dataset = self._show.current(values)
        return dataset, plan_edit(select(dataset.view, self._show.filter(values)), edit)

    def _after_bulk(self, values: Values) -> Updates:
        dataset = self._show.current(values)
        chosen = str(values[self._parts.editor.chosen] or "")
        opened = self._show.opened(dataset, chosen, values) if chosen else {}
        return {**self._show.content(dataset, values), **opened}

    def _write(self, values: Values, *, rewrite: bool) -> str | None:
        """Write the open caption if it was changed; returns what was written.

        ``rewrite``: somebody asks for it, so one that is not UTF-8 is written too. Not in passing: it is only guessed.

        Raises UserError `caption_changed`: somebody else changed it meanwhile; `image_missing`: so did the picture.
        """
        editor = self._parts.editor
        relative = str(values.get(editor.chosen) or "")
        text, loaded = checked_caption(str(values.get(editor.caption) or "")), self._last(values)
        # The browser has line breaks of its own.
        typed = text != checked_caption(loaded)
        if not relative or not (typed or rewrite):
            return None
        picture = self._show.of_open_picture(values).picture(relative)
        caption = picture.caption
        if (not typed or text == caption.text) and not (rewrite and caption.state == "encoding"):
            return None
        if caption.text != loaded:
            raise UserError(
                "caption_changed",
                f"The caption of {relative} was changed elsewhere meanwhile, to “{caption.text}”.",
                ["Save what you typed over it, or give that up for what is there now."],
            )
        write_caption_file(picture.path, picture.caption_file, text)
        return text

    def _last(self, values: Values) -> str:
        """The open picture's caption as the page knows it: as it was read, or as it was written when it was left."""
        editor = self._parts.editor
        loaded = str(values.get(editor.loaded) or "")
        kept = held(values.get(editor.kept))
        about = [values.get(self._parts.shown), values.get(editor.chosen), loaded]
        return str(kept[-1]) if isinstance(kept, list) and len(kept) == 4 and kept[:3] == about else loaded
