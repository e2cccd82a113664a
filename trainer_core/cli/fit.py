"""`fit`: one step of the real model, to see what a training takes before it begins."""

import argparse
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from trainer_core.cli.estimate import duration, gib_text
from trainer_core.cli.shared import PATHS, Commands, config_of, note
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.user_path import user_path
from trainer_core.jobs.ranks import child_environment
from trainer_core.planning.gpu_choice import chosen_gpus, processes_of, uses_gpu
from trainer_core.planning.hardware import detect

if TYPE_CHECKING:
    from trainer_core.planning.measured import MeasuredStep
    from trainer_core.training.fit import FitResult

DOES_NOT_FIT = 3


def add(commands: Commands) -> None:
    text = (
        "Make two or three steps of the largest batch with the real model, and tell their memory and time. No run is "
        f"touched; estimates of the same settings use the answer. Exit code {DOES_NOT_FIT}: it does not fit."
    )
    command = commands.add_parser("fit", help="try a step: does it fit?", description=f"{text} {PATHS}")
    command.add_argument("config", type=user_path, help="TOML config (see config_template.toml), or a run folder")
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), help="instead of the config's own")
    command.set_defaults(run=_fit)


def _fit(options: argparse.Namespace) -> int:
    config, notes = config_of(options.config)
    if options.device:
        config = replace(config, device=options.device)
    for sentence in notes:
        note(sentence)
    cards = _only_first(config)
    from trainer_core.training.fit import check_fit

    result = check_fit(config, cards=cards, report=_ProgressPrinter(), warn=note)
    for line in lines(result):
        print(line)
    return DOES_NOT_FIT if result.verdict == "no" else 0


def _only_first(config: TrainConfig) -> int:
    """How many GPUs a training would use; from here on CUDA sees the first of them only."""
    machine = detect(Path(config.output_dir))
    gpus = chosen_gpus(config, machine) if uses_gpu(config, machine) else ()
    if gpus and len(machine.gpus) > 1:
        # One alone may be a slice of a card, which has no number.
        os.environ.update(child_environment(os.environ, str(gpus[0].index)))
    return processes_of(config, machine)


class _ProgressPrinter:
    """Prints each piece of work once, when it begins."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        if what != self._last:
            self._last = what
            print(f"{what} ...", flush=True)


def lines(result: "FitResult") -> Iterator[str]:
    """The answer, line by line."""
    forecast = result.forecast
    if result.measured is None:
        yield "Memory does not suffice for a step of the largest batch."
    else:
        yield from _figures(result.measured, forecast.training_estimate)
    if forecast.steps is not None and forecast.seconds is not None:
        yield f"Time: at most {duration(forecast.seconds)} for all {forecast.steps.total_steps:,} steps"
    free = "unknown" if result.free is None else f"{gib_text(result.free)} GiB"
    where = "GPU memory" if forecast.cuda else "main memory"
    kind = "with the measured peak" if result.measured else "by the estimate"
    yield f"The whole run needs {gib_text(result.needed)} GiB of {where} {kind}; free: {free}"
    verdicts = {"fits": "It fits.", "tight": "It fits, but little stays free.", "no": "It does not fit."}
    yield f"{verdicts[result.verdict]} (The check took {result.took:.0f} s.)"
    if result.hints:
        yield "What would make it smaller, in the published order:"
        yield from (f"  - {hint}" for hint in result.hints)


def _figures(measured: "MeasuredStep", estimated: int) -> Iterator[str]:
    pictures = f"{measured.images} of {measured.width} x {measured.height} px"
    yield f"Tried on {measured.device}: batch of {pictures}, captions of {measured.caption_tokens} tokens"
    what = "torch's peak allocation" if measured.cuda else "growth of the process"
    yield (
        f"Training, measured: {gib_text(measured.peak)} GiB ({what}); estimated: {gib_text(estimated)} GiB; "
        f"process: {gib_text(measured.process)} GiB of main memory"
    )
    pace = measured.images_per_step / measured.seconds_per_step
    yield f"A step: {measured.seconds_per_step:.3g} s (timed: {measured.steps}), {pace:.3g} images a second"
