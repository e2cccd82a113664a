"""The check of a form while it is filled in: every problem beside its setting, and what the run will need.

Pure but for asking `DiskFacts`, which never waits.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newbie_gui.draft import usable_config
from newbie_gui.formatting import GIB, MIB, gib
from newbie_gui.pages.config.disk_facts import DiskFacts, ExistingRun
from newbie_gui.pages.config.form import problem_text, values_from
from newbie_gui.pages.config.lookup import Answer
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.actions import free_name
from trainer_core.contracts.config import TrainConfig, changes, options, refused
from trainer_core.contracts.datafacts import DataFacts
from trainer_core.contracts.errors import Problem, UserError
from trainer_core.contracts.validation import all_problems
from trainer_core.planning.estimate import Estimate
from trainer_core.planning.estimate_inputs import EstimateInputs
from trainer_core.planning.gpu_choice import chosen_gpus, processes_of, uses_gpu
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.ladder import memory_hints
from trainer_core.planning.measured import MeasuredStep
from trainer_core.planning.presets import reserve_gib
from trainer_core.planning.shapes import matching


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Memory against what is there, in bytes. `gpu` is None on the CPU; then it is main memory."""

    needed: int
    free: int
    total: int
    gpu: Gpu | None

    @property
    def fits(self) -> bool:
        return self.needed <= self.free


@dataclass(frozen=True, kw_only=True)
class FormReport:
    """What stands beside the form.

    Attributes:
        problems: by setting, one sentence each in the page's language; any of them forbids to start.
        warnings: sentences of what will probably go wrong, or surprises.
        hints: what would make it smaller, the engine's sentences, where it does not fit.
        forecast: None where the settings are too broken for one.
        replaced: the settings for whose bad values the forecast takes the defaults.
        counting: something is still being read from disk; ask again soon.
        reading: the data set is among that.
        passing: its problem may be over in a moment, as while pictures arrive; ask again soon.
        data: None while unknown.
    """

    problems: Mapping[str, str]
    warnings: tuple[str, ...]
    hints: tuple[str, ...]
    forecast: Estimate | None
    replaced: tuple[str, ...]
    counting: bool
    reading: bool
    passing: bool
    data: DataFacts | None
    fits: tuple[Fit, ...]


def check(form: Mapping[str, Any], known: DiskFacts, ui: Ui) -> FormReport:
    """Check the values of a form, by name as its controls hold them."""
    values = values_from(form)
    _, found = all_problems(options(), values)
    problems = in_words(found, values, ui)
    config, replaced = usable_config(values)
    if config is None:
        return FormReport(
            problems=problems, warnings=(), hints=(), forecast=None, replaced=replaced, counting=False, data=None,
            fits=(), reading=False, passing=False,
        )  # fmt: skip
    return _Check(config, replaced, known, ui).report(problems)


def in_words(found: list[Problem], values: Mapping[str, Any], ui: Ui) -> dict[str, str]:
    """The first problem of each setting in the page's language, by name."""
    specs = {spec.name: spec for spec in options()}
    words: dict[str, str] = {}
    for problem in found:
        spec = specs[problem.field]
        text = problem_text(spec, values.get(spec.name), problem.message, ui.t)
        text = text or ui.translate(problem.message)
        words.setdefault(spec.name, text[:1].upper() + text[1:])
    return words


def _in_order(problems: Mapping[str, str]) -> dict[str, str]:
    """As the form has them."""
    return {spec.name: problems[spec.name] for spec in options() if spec.name in problems}


class _Check:
    """One check of a configuration that is usable (maybe with replaced values)."""

    def __init__(self, config: TrainConfig, replaced: tuple[str, ...], known: DiskFacts, ui: Ui) -> None:
        self._config = config
        self._replaced = replaced
        self._ui = ui
        self._machine = ui.machine.now()
        asked_data = "train_data_dir" not in replaced
        self._data = known.data(config) if asked_data else None
        self._base = known.base(config)
        self._pace = known.pace(config)
        self._inputs = self._known_inputs()
        self._measured = self._asked_measured(known)
        self._missing = known.missing(config)
        self._run = known.run(config)

    def report(self, problems: Mapping[str, str]) -> FormReport:
        """The report; ``problems`` are those of the values themselves."""
        asked = (self._data, self._base, self._pace, self._measured, self._missing, self._run)
        answers = [answer for answer in asked if answer]
        forecast = self._forecast()
        fits = tuple(self._fits(forecast)) if forecast else ()
        short = any(not fit.fits for fit in fits)
        found = dict(self._disk_problems())
        return FormReport(
            problems=_in_order({**found, **problems}),
            warnings=tuple(self._warnings(forecast, fits)),
            hints=tuple(map(self._ui.translate, memory_hints(self._config))) if short else (),
            forecast=forecast,
            replaced=self._replaced,
            counting=any(answer.pending for answer in answers),
            reading=self._data is not None and self._data.pending,
            passing="train_data_dir" in found,
            data=self._data.value if self._data else None,
            fits=fits,
        )

    def _known_inputs(self) -> EstimateInputs | None:
        """None while the base is unknown."""
        config, machine = self._config, self._machine
        if self._base.value is None:
            return None
        return EstimateInputs(
            config=config, data=self._data.value if self._data else None, base=self._base.value, machine=machine,
            cuda=uses_gpu(config, machine), cards=processes_of(config, machine),
        )  # fmt: skip

    def _asked_measured(self, known: DiskFacts) -> Answer[MeasuredStep | None] | None:
        """None while the batch that a check would try is unknown."""
        if self._inputs is None or self._inputs.data is None:
            return None
        return known.measured(self._config, self._inputs.key)

    def _forecast(self) -> Estimate | None:
        pace, measured = self._pace.value, self._measured.value if self._measured else None
        return self._inputs.estimate(measured, pace=lambda _: pace) if self._inputs else None

    def _disk_problems(self) -> Iterator[tuple[str, str]]:
        """What the files on disk say against the settings."""
        ui = self._ui
        goes_on = self._run.value is not None and self._run.value.checkpoints
        for name in self._missing.value or ():
            # Where the run starts from matters no more once it has a checkpoint.
            if name not in self._replaced and not (goes_on and name == "resume_from_lora"):
                yield name, ui.t("config.problem.missing")
        if self._data and self._data.problem and "train_data_dir" not in (self._missing.value or ()):
            yield "train_data_dir", self._data_problem(self._data.problem)
        if self._base.value and "lora_target_modules" not in self._replaced:
            unmatched = matching(self._base.value.transformer, self._config.lora_target_modules).unmatched
            if unmatched:
                yield "lora_target_modules", ui.t("config.problem.modules", names=", ".join(unmatched))
        if self._run.value and "output_name" not in self._replaced:
            cannot = refused_changes(self._run.value, self._config)
            if cannot:
                names = ui.t.joined(ui.t(f"options.{name}") for name in cannot)
                free = free_name(self._config, ui.runs.rows())
                yield "output_name", ui.t("config.problem.begun", names=names, free=free)

    def _data_problem(self, problem: UserError | OSError) -> str:
        folder = Path(self._config.train_data_dir)
        if isinstance(problem, UserError) and problem.code == "dataset_empty":
            jobs = [entry.job for entry in self._ui.queue.entries() if entry.active and entry.job.kind == "import"]
            if any(Path(str(job.spec.get("folder"))) == folder for job in jobs):
                return self._ui.t("config.problem.arriving")
        return self._ui.say(problem).removeprefix("train_data_dir: ")

    def _fits(self, forecast: Estimate) -> Iterator[Fit]:
        needed = forecast.needed
        if not forecast.cuda:
            machine = self._machine
            total, free = machine.memory_total_mib * MIB, machine.memory_free_mib * MIB
            yield Fit(needed=needed, free=free, total=total, gpu=None)
            return
        for gpu in chosen_gpus(self._config, self._machine):
            yield Fit(needed=needed, free=gpu.free_mib * MIB, total=gpu.total_mib * MIB, gpu=gpu)

    def _warnings(self, forecast: Estimate | None, fits: tuple[Fit, ...]) -> Iterator[str]:
        ui, config, machine = self._ui, self._config, self._machine
        if self._run.value and not refused_changes(self._run.value, config):
            found = self._run.value.reached
            key = "config.warning.enough" if found and found.is_enough(config) else "config.warning.begun"
            yield ui.t(key, name=config.output_name, steps=found.steps if found else 0)
        if config.device == "cuda" and not machine.gpus:
            yield ui.t("config.warning.no_gpu")
        if config.device != "cpu" and machine.gpus and not chosen_gpus(config, machine):
            yield ui.t("config.warning.gpus", gpus=config.gpus)
        for fit in fits:
            if not fit.fits:
                yield _too_large(fit, machine, ui)
        if forecast and forecast.disk.free is not None and forecast.disk.bytes > forecast.disk.free:
            values = {"needed": gib(forecast.disk.bytes), "free": gib(forecast.disk.free)}
            yield ui.t("config.warning.disk", **values)
        if not forecast or self._base.value is None:
            return
        if not uses_gpu(config, machine) and self._base.value.transformer.dim >= 1024:
            yield ui.t("config.warning.cpu")


def _too_large(fit: Fit, machine: Machine, ui: Ui) -> str:
    more = gib(fit.needed - fit.free)
    if fit.gpu is None:
        return ui.t("config.warning.memory", more=more)
    values = {"index": fit.gpu.index, "name": fit.gpu.name, "more": more}
    if fit.needed <= fit.total - reserve_gib(machine) * GIB:
        return ui.t("config.warning.occupied", used=gib(fit.total - fit.free), **values)
    return ui.t("config.warning.card", **values)


def refused_changes(begun: ExistingRun, config: TrainConfig) -> tuple[str, ...]:
    """The settings that a begun run cannot take, by name."""
    if begun.config is None or not begun.checkpoints:
        return ()
    return tuple(change.name for change in refused(changes(begun.config, config)))
