"""What changed since the page looked last: one look answers for every part of the tab.

The page sends a stamp of each part it has; a part whose stamp is still right is neither made nor sent again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
from newbie_gui.pages.train.places import place_of
from newbie_gui.pages.ui import Ui, held
from newbie_gui.runs import actions
from newbie_gui.runs.failure import OUT_OF_MEMORY, Failure, Remedy, failure_of, remedies
from newbie_gui.runs.history import RunFacts
from newbie_gui.runs.logs import log_stamp, read_log
from newbie_gui.runs.plot import PlotChoice, plot_of
from newbie_gui.runs.progress import progress_of
from newbie_gui.runs.results import pictures, saved
from newbie_gui.runs.store import Row
from trainer_core.contracts.config import TrainConfig

REMEMBERED = "train.run"
# Seconds between two looks while some run waits or is at work, and while none does.
LIVE_S, IDLE_S = 1.0, 4.0


@dataclass(frozen=True, kw_only=True)
class ViewRequest:
    """What a page shows and wants to see.

    Attributes:
        selected: key of the run, "" for whichever suits.
        stamps: of each part that the page has.
        text, state: filter of the list.
        other: key of the run to compare with, "" for none.
        search: in the log.
    """

    selected: str = ""
    stamps: Mapping[str, str] = field(default_factory=dict)
    text: str = ""
    state: str = ""
    choice: PlotChoice = field(default_factory=PlotChoice)
    other: str = ""
    search: str = ""


@dataclass(frozen=True, kw_only=True)
class ViewUpdate:
    """What to change on the page: parts by name, the run shown, and the stamps to send next time."""

    selected: str
    parts: Mapping[str, Any]
    stamps: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class _Shown:
    """The run at hand, as of this look."""

    row: Row
    facts: RunFacts
    config: TrainConfig | None
    failure: Failure | None


class TrainRenderer:
    """Makes the parts for one language's pages."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._store = ui.runs

    def refresh(self, request: ViewRequest) -> ViewUpdate:
        """Every part that is not as its stamp says."""
        rows = self._store.rows()
        row = self._chosen(rows, request.selected)
        pace = LIVE_S if any(each.live for each in rows) else IDLE_S
        parts = {"list": self._list(request, row), "others": _others(rows, row), "pace": (str(pace), lambda: pace)}
        if row is None:
            parts["empty"] = ("1", lambda: True)
        else:
            parts["empty"] = ("", lambda: False)
            parts.update(self._run_parts(row, request))
        stamps = {name: stamp for name, (stamp, _) in parts.items()}
        changed = {name: make() for name, (stamp, make) in parts.items() if request.stamps.get(name) != stamp}
        return ViewUpdate(selected=row.key if row else "", parts=changed, stamps=stamps)

    def _chosen(self, rows: tuple[Row, ...], key: str) -> Row | None:
        """The run asked for; else the one shown last, unless it has ended and another is at work; else the newest.

        Live ones come first among ``rows``.
        """
        by_key = {row.key: row for row in rows}
        found = by_key.get(key)
        shown_last = by_key.get(str(self._ui.remember.get(REMEMBERED, "")))
        if found or (shown_last and shown_last.live):
            return found or shown_last
        at_work = next((row for row in rows if row.live and row.state != "waiting"), None)
        return at_work or shown_last or (rows[0] if rows else None)

    def _list(self, request: ViewRequest, row: Row | None) -> tuple[str, Callable[[], Any]]:
        rows = self._store.rows(text=request.text, state=request.state)
        filtered = bool(request.text or request.state)
        selected = row.key if row else ""
        shown = [(each.key, each.state, each.step, int(each.time) // 60) for each in rows[: list_view.MOST]]
        return digest(shown, selected, filtered), lambda: str(
            list_view.render(self._ui, rows, selected, filtered=filtered)
        )

    def _run_parts(self, row: Row, request: ViewRequest) -> dict[str, tuple[str, Callable[[], Any]]]:
        history = self._store.history(row.folder)
        facts, config = history.refresh(), self._store.config(row)
        failure = failure_of(row, facts, self._store.entry(row))
        shown = _Shown(row=row, facts=facts, config=config, failure=failure)
        progress = str(progress_view.render(self._ui, row, progress_of(row, facts, config, self._ui.machine.now())))
        log = row.run.log_file
        return {
            "progress": (digest(progress), lambda: progress),
            "buttons": (digest(row.key, row.state, row.begun), lambda: row),
            "failure": (digest(row.key, failure, config), lambda: self._failure(shown)),
            "plot": self._plot(shown, request),
            "samples": (digest(row.key, _changed(row.run.samples)), lambda: self._samples(shown)),
            "files": (
                digest(row.key, *map(_changed, (row.run.checkpoints, row.run.exports, row.run.validation_file))),
                lambda: self._files(shown),
            ),
            "log": (
                digest(row.key, log_stamp(log), request.search),
                lambda: str(
                    log_view.render(
                        self._ui,
                        place_of(self._ui.workspace, row),
                        read_log(log, search=request.search),
                        searched=bool(request.search),
                    )
                ),
            ),
        }

    def _plot(self, shown: _Shown, request: ViewRequest) -> tuple[str, Callable[[], Any]]:
        row, facts = shown.row, shown.facts
        other = next((each for each in self._store.rows() if request.other and each.key == request.other), None)
        beside = self._store.history(other.folder) if other and other.key != row.key else None
        version = beside.refresh().version if beside else ""
        failed = shown.failure.code if shown.failure else ""

        def make() -> Any:
            history = self._store.history(row.folder)
            plot = plot_of(history, request.choice, beside)
            health = self._ui.health.health(row.folder, history, facts, shown.failure, shown.config)
            return {
                "other": other.name if other and beside else "",
                "loss": plot_view.loss_data(self._ui, plot),
                "rate": plot_view.rate_data(self._ui, plot),
                "health": str(plot_view.health(self._ui, health) + self._notes(facts)),
                "table": str(plot_view.table(self._ui, plot, history.validation())),
            }

        return digest(row.key, facts.version, failed, request.choice, version, other.key if other else ""), make

    def _notes(self, facts: RunFacts) -> Any:
        speed = [advice for advice in facts.advice if advice.get("topic") != "loss"]
        return plot_view.notes(self._ui, facts.warnings, speed)

    def _samples(self, shown: _Shown) -> str:
        prompts = shown.config.sample_prompts if shown.config else ()
        place = place_of(self._ui.workspace, shown.row)
        return str(samples_view.render(self._ui, place, pictures(shown.row.run), prompts))

    def _files(self, shown: _Shown) -> str:
        history = self._store.history(shown.row.folder)
        loss = history.loss()
        smoothed = loss.smoothed(PlotChoice().smoothing) if len(loss) else loss
        entries = saved(shown.row.run, history.validation(), smoothed)
        return str(files_view.render(self._ui, place_of(self._ui.workspace, shown.row), entries))

    def _failure(self, shown: _Shown) -> str:
        failure, config = shown.failure, shown.config
        ladder: tuple[Remedy, ...] = ()
        new_name = ""
        if failure is not None and failure.code == OUT_OF_MEMORY and config is not None:
            ladder = remedies(shown.row, config)
            new_name = actions.free_name(config, self._store.rows())
        return str(failure_view.render(self._ui, failure, ladder, new_name))


def _others(rows: tuple[Row, ...], row: Row | None) -> tuple[str, Callable[[], Any]]:
    choices = [(each.name, each.key) for each in rows if each.begun and (row is None or each.key != row.key)]
    return digest(choices), lambda: choices


def _changed(path: Path) -> int:
    """Changes with every file that comes, goes or is renamed in a folder, and with a file that is replaced."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def stamps_from(text: object) -> dict[str, str]:
    """Stamps as the page holds them; whatever cannot be read counts as none."""
    values = held(text)
    return {str(key): str(value) for key, value in values.items()} if isinstance(values, dict) else {}
