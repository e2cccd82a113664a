""" "Check fit" beside the forecast: a job that tries a step of the form's settings, and its answer."""

from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from markupsafe import Markup

from newbie_gui.pages.config.fit_view import render_fit
from newbie_gui.pages.ui import ACTION, QUIET, Ui, current_page, hidden, stamp_of
from newbie_gui.runs.actions import resources
from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.run_names import CONFIG_FILE
from trainer_core.jobs.queue import Entry
from trainer_core.planning.gpu_choice import chosen_gpus, processes_of
from trainer_core.planning.hardware import Machine

_LOOK_S = 1.0


class FitPanel:
    """The panel of one page; `place` it, then `wire` it to the form. Holds nothing: the job is in the queue."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui

    def place(self) -> None:
        t = self._ui.t
        with gr.Row(elem_classes="config-buttons"):
            self._check = gr.Button(t("fit.check"), elem_id="fit-check")
            self._stop = gr.Button(t("fit.stop"), visible=False, elem_id="fit-stop")
        self._why_not = gr.HTML(elem_id="fit-why-not")
        gr.Markdown(t("fit.help"), elem_classes="muted")
        self._answer = gr.HTML(elem_id="fit-answer")
        # What the page has seen of the job.
        self._seen = hidden()
        # It runs only while there is something to wait for.
        self._timer = gr.Timer(_LOOK_S, active=False)

    def wire(
        self, controls: Mapping[str, Component], problem: gr.Textbox, read: Callable[[dict[Any, Any]], TrainConfig]
    ) -> None:
        """`problem`: hidden, why the settings cannot be started; `read`: the settings, or raises ConfigError."""
        self._problem = problem
        self._read = read
        shown: list[Any] = [self._answer, self._check, self._stop, self._seen, self._timer]
        looked: set[Any] = {self._seen, problem}
        current_page().load(self._looked, looked, shown, **QUIET)
        self._timer.tick(self._looked, looked, shown, **QUIET)
        problem.change(self._allowed, problem, [self._check, self._why_not], **QUIET)
        asked: set[Any] = {*controls.values(), problem}
        self._check.click(self._ui.guarded(self._asked), asked, shown, **ACTION)
        self._stop.click(self._ui.guarded(self._stopped), None, shown, **ACTION)

    def _allowed(self, problem: str) -> tuple[Any, str]:
        """Whether there is something to check; a check at work keeps its button disabled as well."""
        entry = self._ui.newest("fit")
        busy = entry is not None and entry.active
        why = str(Markup('<p class="muted" role="status">⚠ {}</p>').format(problem)) if problem else ""
        return gr.update(interactive=not problem and not busy), why

    def _asked(self, data: dict[Any, Any]) -> dict[Any, Any]:
        newest = self._ui.newest("fit")
        if newest is not None and newest.active:
            raise UserError("fit_running", self._ui.t("fit.running"))
        job_id = ask(self._ui, self._read(data))
        return self._shown(self._ui.queue.entry(job_id), "")

    def _stopped(self) -> dict[Any, Any]:
        entry = self._ui.newest("fit")
        if entry is not None and entry.active:
            self._ui.queue.stop(entry.job.id)
        return self._shown(self._ui.newest("fit"), "")

    def _looked(self, data: dict[Any, Any]) -> Any:
        entry = self._ui.newest("fit")
        if data[self._seen] == stamp_of(entry):
            return gr.skip()
        return self._shown(entry, str(data[self._problem] or ""))

    def _shown(self, entry: Entry | None, problem: str) -> dict[Any, Any]:
        busy = entry is not None and entry.active
        return {
            self._answer: str(render_fit(entry, self._ui)) if entry is not None else "",
            self._check: gr.update(interactive=not busy and not problem),
            self._stop: gr.update(visible=busy),
            self._seen: stamp_of(entry),
            self._timer: gr.Timer(_LOOK_S, active=busy),
        }


def ask(ui: Ui, config: TrainConfig) -> str:
    """Queue a check, before everything else that waits; returns the job's id."""
    machine = ui.machine.now()
    spec = {"cards": processes_of(config, machine)}
    title, files = ui.t("fit.title", name=config.output_name), {CONFIG_FILE: to_toml(config)}
    return ui.queue.add("fit", title, spec, resources=_card(config, machine), files=files, front=True)


def _card(config: TrainConfig, machine: Machine) -> tuple[str, ...]:
    """What the check occupies: of the GPUs that share a training, the first alone."""
    occupied = resources(config, machine)
    gpus = chosen_gpus(config, machine)
    return occupied[:1] if occupied == ("cpu",) or not gpus else (f"gpu:{gpus[0].index}",)
