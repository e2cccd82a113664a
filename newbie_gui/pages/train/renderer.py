"""What changed since the page looked last: one look answers for every part of the tab.

The page sends a stamp of each part it has; a part whose stamp is still right is neither made nor sent again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gradio as gr
from markupsafe import Markup

from newbie_gui.pages.html import digest
from newbie_gui.pages.train import (
    failure_view,
    files_view,
    list_view,
    log_view,
    plot_view,
    progress_view,
    samples_view,
)
from newbie_gui.pages.train.parts import Parts
from newbie_gui.pages.train.places import place_of
from newbie_gui.pages.train.request import Updates, Values, ViewRequest, request_of, text_of
from newbie_gui.pages.ui import Ui
from newbie_gui.remember import SHOWN_RUN
from newbie_gui.runs import actions
from newbie_gui.runs.failure import OUT_OF_MEMORY, Failure, Remedy, failure_of, remedies
from newbie_gui.runs.history import RunFacts
from newbie_gui.runs.logs import read_log
from newbie_gui.runs.plot import PlotChoice, plot_of
from newbie_gui.runs.progress import progress_of
from newbie_gui.runs.results import pictures, saved
from newbie_gui.runs.store import Row, is_key
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.fsutil import json_text, version_of

# Seconds between two looks while some run waits or is at work, and while none does.
LIVE_S, IDLE_S = 1.0, 4.0


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """The run at hand, as of this look."""

    row: Row
    facts: RunFacts
    config: TrainConfig | None
    failure: Failure | None


# A part of the tab: its stamp, and what makes the updates that bring it.
_Part = tuple[str, Callable[[], Updates]]


class TrainRenderer:
    """Makes updates of one page."""

    def __init__(self, ui: Ui, parts: Parts) -> None:
        self._ui = ui
        self._parts = parts
        self._store = ui.runs

    def shown(self, values: Values) -> Row:
        """The run that the page shows. Raises UserError `run_missing`."""
        return self._store.row(text_of(values.get(self._parts.selected)))

    def refresh(self, values: Values, *, selected: str | None = None) -> Updates:
        """Every part that is not as its stamp says; another run is shown where ``selected`` says so."""
        parts, shown = self._parts, values.get(self._parts.selected)
        updates: Updates = {}
        if selected is not None and selected != shown:
            # The steps chosen were another run's.
            updates = {parts.plots.first: 0, parts.plots.last: 0}
            values = {**values, **updates, parts.selected: selected}
        request = request_of(parts, values)
        rows = self._store.rows()
        row = self._chosen(rows, request.selected)
        table = {
            "list": self._list(row, request),
            "others": self._others(rows, row),
            "pace": self._pace(rows),
            "empty": self._empty(row, any_there=bool(rows)),
            **(self._run_parts(row, request) if row else {}),
        }
        for name, (stamp, make) in table.items():
            if request.stamps.get(name) != stamp:
                updates |= make()
        stamps = {name: stamp for name, (stamp, _) in table.items()}
        if stamps != request.stamps:
            updates[parts.stamps] = json_text(stamps)
        key = row.key if row else request.selected if rows else ""
        if key != shown:
            updates[parts.selected] = key
        # Gradio wants at least one output in an answer by component.
        return updates or {parts.stamps: gr.skip()}

    def _chosen(self, rows: tuple[Row, ...], key: str) -> Row | None:
        """The run asked for, ``None`` if it is gone: what a button does next must not befall another one.

        Where none is asked for, the one shown last, unless it has ended and another is at work; else the newest. Live
        ones come first among ``rows``.
        """
        by_key = {row.key: row for row in rows}
        if is_key(key):
            return by_key.get(key)
        shown_last = by_key.get(str(self._ui.remember.get(SHOWN_RUN, "")))
        if shown_last and shown_last.live:
            return shown_last
        at_work = next((row for row in rows if row.live and row.state != "waiting"), None)
        return at_work or shown_last or (rows[0] if rows else None)

    def _pace(self, rows: Sequence[Row]) -> _Part:
        pace = LIVE_S if any(row.live for row in rows) else IDLE_S
        return str(pace), lambda: {self._parts.timer: gr.Timer(pace)}

    def _empty(self, row: Row | None, *, any_there: bool) -> _Part:
        parts, key = self._parts, "" if row else "train.gone" if any_there else "train.none"
        return key, lambda: {
            parts.nothing: gr.update(visible=row is None, value=self._ui.t(key) if key else ""),
            parts.shown: gr.update(visible=row is not None),
        }

    def _others(self, rows: Sequence[Row], row: Row | None) -> _Part:
        """The runs to compare with."""
        choices = [(each.name, each.key) for each in rows if each.begun and (row is None or each.key != row.key)]
        none = (self._ui.t("train.loss.compare_none"), "")
        return digest(choices), lambda: {self._parts.plots.other: gr.update(choices=[none, *choices])}

    def _list(self, row: Row | None, request: ViewRequest) -> _Part:
        rows = self._store.rows(text=request.text, state=request.state)
        filtered = bool(request.text or request.state)
        selected = row.key if row else ""
        shown = [(each.key, each.state, each.step, int(each.time) // 60) for each in rows[: list_view.MOST]]
        return digest(shown, selected, filtered), lambda: {
            self._parts.list: str(list_view.render(self._ui, rows, selected, filtered=filtered))
        }

    def _run_parts(self, row: Row, request: ViewRequest) -> dict[str, _Part]:
        parts, run = self._parts, row.run
        facts, config = self._store.history(row.folder).refresh(), self._store.config(row)
        failure = failure_of(row, facts, self._store.entry(row))
        shown = _Shown(row=row, facts=facts, config=config, failure=failure)
        progress = str(progress_view.render(self._ui, row, progress_of(row, facts, config, self._ui.machine.now())))
        saved_files = map(version_of, (run.checkpoints, run.exports, run.validation_file))
        return {
            "progress": (digest(progress), lambda: {parts.progress: progress}),
            "buttons": (digest(row.key, row.state, row.begun), lambda: self._buttons(row)),
            "failure": (digest(row.key, failure, config), lambda: {parts.failure: self._failure(shown)}),
            "plot": self._plot(shown, request),
            "samples": (digest(row.key, version_of(run.samples)), lambda: {parts.samples: self._samples(shown)}),
            "files": (digest(row.key, *saved_files), lambda: {parts.files: self._files(shown)}),
            "log": (
                digest(row.key, version_of(run.log_file), request.search),
                lambda: {parts.log: self._log(row, request.search)},
            ),
        }

    def _buttons(self, row: Row) -> Updates:
        usable = {
            "save_stop": row.state in ("starting", "running"),
            "stop_now": row.live,
            "save_now": row.state == "running",
            "sample_now": row.state == "running",
            # One that is finished goes on with more steps: by a changed setting.
            "resume": not row.live and row.state != "finished",
            "duplicate": True,
            "delete": not row.live and row.begun,
        }
        updates: Updates = {self._parts.buttons[name]: gr.update(interactive=on) for name, on in usable.items()}
        # What was about to be deleted is not what is shown now.
        updates[self._parts.sure] = gr.update(visible=False)
        updates[self._parts.report_text] = gr.update(visible=False, value="")
        return updates

    def _plot(self, shown: _Shown, request: ViewRequest) -> _Part:
        row, facts, plots = shown.row, shown.facts, self._parts.plots
        other = next((each for each in self._store.rows() if request.other and each.key == request.other), None)
        beside = self._store.history(other.folder) if other and other.key != row.key else None
        version = beside.refresh().version if beside else ""
        failed = shown.failure.code if shown.failure else ""
        waits = row.state == "waiting" and not facts.steps

        def make() -> Updates:
            history = self._store.history(row.folder)
            plot = plot_of(history, request.choice, beside)
            health = self._ui.health.health(row.folder, history, facts, shown.failure, shown.config)
            compared = other.name if other and beside else ""
            return {
                # Nothing may come with the curves: for a new axis title or legend the plot draws itself anew, and then
                # it stays with the curves before these.
                plots.loss: plot_view.loss_data(self._ui, plot),
                plots.heading: plot_view.heading(self._ui, log=request.choice.log, other=compared),
                plots.rate: plot_view.rate_data(self._ui, plot),
                plots.health: str(
                    plot_view.waiting(self._ui) if waits else plot_view.health(self._ui, health) + self._notes(facts)
                ),
                plots.table: str(plot_view.table(self._ui, plot)),
            }

        stamp = digest(row.key, facts.version, failed, waits, request.choice, version, other.key if other else "")
        return stamp, make

    def _notes(self, facts: RunFacts) -> Markup:
        speed = [advice for advice in facts.advice if advice.get("topic") != "loss"]
        return plot_view.notes(self._ui, facts.warnings, speed)

    def _samples(self, shown: _Shown) -> str:
        prompts = shown.config.sample_prompts if shown.config else ()
        place = place_of(self._ui.workspace, shown.row)
        return str(samples_view.render(self._ui, place, pictures(shown.row.run), prompts))

    def _files(self, shown: _Shown) -> str:
        history = self._store.history(shown.row.folder)
        smoothed = history.loss().smoothed(PlotChoice().smoothing)
        entries = saved(shown.row.run, history.validation(), smoothed)
        return str(files_view.render(self._ui, place_of(self._ui.workspace, shown.row), entries))

    def _log(self, row: Row, search: str) -> str:
        place, log = place_of(self._ui.workspace, row), read_log(row.run.log_file, search=search)
        return str(log_view.render(self._ui, place, log, searched=bool(search)))

    def _failure(self, shown: _Shown) -> str:
        failure, config = shown.failure, shown.config
        ladder: tuple[Remedy, ...] = ()
        new_name = ""
        if failure is not None and failure.code == OUT_OF_MEMORY and config is not None:
            ladder = remedies(shown.row, config)
            new_name = actions.free_name(config, self._store.rows())
        return str(failure_view.render(self._ui, failure, ladder, new_name))
