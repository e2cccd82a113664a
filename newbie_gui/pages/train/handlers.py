"""What the buttons do. Every function returns updates of the page; a UserError leaves it as it is."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import gradio as gr
from markupsafe import Markup

from newbie_gui.formatting import cut
from newbie_gui.pages.config.tab import ConfigTab
from newbie_gui.pages.html import Cell, note, table
from newbie_gui.pages.train.parts import Parts
from newbie_gui.pages.train.renderer import TrainRenderer
from newbie_gui.pages.train.request import Updates, Values
from newbie_gui.pages.ui import Ui
from newbie_gui.remember import SHOWN_RUN
from newbie_gui.runs import actions
from newbie_gui.runs.actions import PlannedChange
from newbie_gui.runs.failure import apply, remedies
from newbie_gui.runs.report import report_of
from newbie_gui.runs.store import Row, key_of
from trainer_core.contracts.checkpoints import set_pinned
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir

_SHORT = 80


class Handlers:
    """The handlers of one page's buttons."""

    def __init__(self, ui: Ui, parts: Parts, show: TrainRenderer, form: ConfigTab) -> None:
        self._ui = ui
        self._parts = parts
        self._show = show
        self._form = form
        self._store = ui.runs

    def start(self, values: Values, cards: list[str] | None, *, front: bool) -> Updates:
        """Start or queue the form's settings; ``cards``: the GPUs chosen, ``None`` where there is no choice."""
        config = self._form.config(values)
        if cards is not None:
            config = replace(config, gpus=self._cards(cards))
        key = key_of(RunDir.of(config).path)
        if any(row.key == key and row.live for row in self._store.rows()):
            raise UserError("run_in_use", self._ui.t("train.already", name=config.output_name))
        before = self._begin(config, front=front)
        if front and not before:
            gr.Info(self._ui.t("train.started", name=config.output_name))
        else:
            gr.Info(self._ui.t("train.queued", name=config.output_name, count=before))
        return self._shown(values, key)

    def resume(self, values: Values) -> Updates:
        """Go on with the run's own settings; without a checkpoint it starts anew with them."""
        row = self._show.shown(values)
        self._require_ended(row)
        config = actions.config_of(row)
        actions.require_folders(config, self._ui.workspace.trash)
        self._begin(config, front=True)
        key = "train.resumed" if row.run.has_begun() else "train.resumed_anew"
        gr.Info(self._ui.t(key, name=config.output_name))
        return self._shown(values, row.key)

    def stop(self, values: Values, *, now: bool) -> Updates:
        row = self._show.shown(values)
        if row.job_id:
            self._ui.queue.stop(row.job_id, now=now)
        else:
            # Begun from a terminal: there is no job to end, but the run listens.
            row.run.request("stop")
        gr.Info(self._ui.t("train.asked.now" if now else self._stopped_where(row)))
        return self._shown(values, row.key)

    def _stopped_where(self, row: Row) -> str:
        """Key of what becomes of a run that is asked to save and stop."""
        trains = row.state == "running" and self._store.history(row.folder).refresh().trains
        return "train.asked.stop" if trains else "train.asked.stop_early"

    def request(self, values: Values, verb: Literal["save", "sample"]) -> Updates:
        row = self._show.shown(values)
        if row.state != "running":
            raise UserError("job_not_running", f"{row.name} is not running: it is {row.state}.")
        row.run.request(verb)
        gr.Info(self._ui.t(f"train.asked.{verb}"))
        return self._show.refresh(values)

    def select(self, values: Values, key: str) -> Updates:
        """Show another run and remember it for the next visit."""
        row = self._store.row(key)
        self._ui.remember.set(SHOWN_RUN, row.key)
        return self._show.refresh(values, selected=row.key)

    def ask_delete(self, values: Values) -> Updates:
        row = self._show.shown(values)
        return {
            self._parts.sure: gr.update(visible=True),
            self._parts.sure_text: self._ui.t("train.delete.sure", name=row.name),
        }

    def delete(self, values: Values) -> Updates:
        row = self._show.shown(values)
        actions.delete(row, self._store)
        gr.Info(self._ui.t("train.deleted", name=row.name))
        return {self._parts.sure: gr.update(visible=False), **self._show.refresh(values, selected="")}

    def duplicate(self, values: Values) -> Updates:
        """Put the run's settings into the form, under a free name."""
        row = self._show.shown(values)
        config = actions.duplicated(row, self._store)
        gr.Info(self._ui.t("train.duplicated", old=row.name, new=config.output_name))
        return self._form.fill(vars(config))

    def load(self, values: Values) -> Updates:
        """Put the run's settings into the form as they are."""
        row = self._show.shown(values)
        gr.Info(self._ui.t("train.change.loaded", name=row.name))
        return self._form.fill(vars(actions.config_of(row)))

    def planned(self, values: Values) -> str:
        """What the form's settings would change in the run, as a table, and what has to be done first."""
        row = self._show.shown(values)
        shown = changes_table(self._ui, actions.planned_changes(row, self._form.config(values)))
        return str(note("warning", self._first(row), role="status") + shown if row.live else shown)

    def go_on(self, values: Values) -> Updates:
        """Continue the run with the form's settings."""
        row = self._show.shown(values)
        self._require_ended(row)
        config = actions.continued(row, self._form.config(values))
        # A run that cannot start would count as failed, and it is done or can still go on.
        if problem := self._form.problem_of(config):
            raise UserError("not_ready", problem)
        self._begin(config, front=True)
        key = "train.change.continued" if row.run.has_begun() else "train.change.continued_anew"
        gr.Info(self._ui.t(key, name=config.output_name))
        return self._shown(values, row.key)

    def apply(self, values: Values, number: str) -> Updates:
        """Take a rung of the memory ladder, and all above it, and go on."""
        row = self._show.shown(values)
        self._require_ended(row)
        config = actions.config_of(row)
        ladder = remedies(row, config)
        if not number.isdecimal() or int(number) >= len(ladder):
            raise UserError("run_missing", "This run is not there any more.")
        changed = apply(config, ladder[int(number)], actions.free_name(config, self._store.rows()))
        self._begin(changed, front=True)
        gr.Info(self._ui.t("train.failure.applied", name=changed.output_name))
        return self._shown(values, key_of(RunDir.of(changed).path))

    def pin(self, values: Values, step: str, *, on: bool) -> Updates:
        row = self._show.shown(values)
        if not step.isdecimal():
            raise UserError("checkpoint_missing", f"There is no checkpoint {step[:_SHORT]!r}.")
        set_pinned(row.run.checkpoint(int(step)), on)
        gr.Info(self._ui.t("train.files.pin_done" if on else "train.files.unpin_done", step=int(step)))
        return self._show.refresh(values)

    def use_for_merge(self, values: Values, name: str) -> Updates:
        """Hand a LoRA file of the run to the Merge tab: its path."""
        row = self._show.shown(values)
        file = row.run.exports / name
        if Path(name).name != name or not file.is_file():
            raise UserError("lora_missing", f"There is no LoRA file {name[:_SHORT]!r} in this run.")
        gr.Info(self._ui.t("train.files.for_merge", name=name))
        return {self._parts.lora: str(file.resolve())}

    def report(self, values: Values) -> Updates:
        row = self._show.shown(values)
        gr.Info(self._ui.t("train.report.begun"))
        text = report_of(row)
        gr.Info(self._ui.t("train.report.done"))
        return {self._parts.report_text: gr.update(value=text, visible=True)}

    def _begin(self, config: TrainConfig, *, front: bool) -> int:
        """Returns how many jobs run or wait before it. Raises UserError `nothing_left`."""
        if steps := actions.steps_enough(config):
            length = "max_train_steps" if config.max_train_steps else "num_epochs"
            values = {"asked": getattr(config, length), "setting": self._ui.t(f"options.{length}")}
            raise UserError("nothing_left", self._ui.t("train.enough", name=config.output_name, steps=steps, **values))
        occupied = set(actions.resources(config, self._ui.machine.now()))
        before = sum(
            (entry.at_work if front else entry.active) and bool(occupied & set(entry.job.resources))
            for entry in self._ui.queue.entries()
        )
        actions.start(self._ui.queue, config, self._ui.machine.now(), front=front)
        self._store.forget_list()
        return before

    def _require_ended(self, row: Row) -> None:
        if row.live:
            raise UserError("run_in_use", self._first(row))

    def _first(self, row: Row) -> str:
        """What has to be done before a live run can take other settings."""
        cancel = "cancel_first" if row.begun else "cancel_new"
        return self._ui.t(f"train.change.{cancel if row.state == 'waiting' else 'stop_first'}", name=row.name)

    def _cards(self, cards: list[str]) -> str:
        machine = self._ui.machine.now()
        known = {str(gpu.index) for gpu in machine.gpus}
        chosen = [card for card in cards if card in known]
        if len(chosen) > 1 and not machine.joins_gpus:
            raise UserError("device_unavailable", self._ui.t("train.start.one_gpu"))
        if not chosen:
            raise UserError("device_unavailable", self._ui.t("train.no_gpu_chosen"))
        return ",".join(sorted(chosen, key=int))

    def _shown(self, values: Values, key: str) -> Updates:
        self._ui.remember.set(SHOWN_RUN, key)
        return self._show.refresh(values, selected=key)


def changes_table(ui: Ui, changes: tuple[PlannedChange, ...]) -> Markup:
    """Each changed setting, old and new, and what it does to the run in words."""
    if not changes:
        return Markup('<p role="status">{}</p>').format(ui.t("train.change.none"))
    heads = [ui.t(f"train.change.{key}") for key in ("setting", "old", "new", "effect")]
    rows = [
        (
            _label(ui, change.name), _value(change.old), _value(change.new),
            Cell(ui.t(f"train.change.effect.{change.effect}"), f"effect-{change.effect}"),
        )
        for change in changes
    ]  # fmt: skip
    return Markup('<div role="status">{}</div>').format(table(heads, rows))


def _label(ui: Ui, name: str) -> str:
    key = f"options.{name}"
    return f"{ui.t(key)} ({name})" if key in ui.t else name


def _value(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    return cut(text, _SHORT)
