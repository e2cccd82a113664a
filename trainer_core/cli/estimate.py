"""`estimate`: what a run will need, before it starts."""

import argparse
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trainer_core.cli.shared import PATHS, Commands, config_of
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.user_path import user_path
from trainer_core.planning.base import read_base
from trainer_core.planning.gpu_choice import chosen_gpus, processes_of, uses_gpu
from trainer_core.planning.hardware import detect
from trainer_core.planning.ladder import ladder_hints
from trainer_core.planning.measured import find, fit_folder
from trainer_core.planning.phases import GIB

if TYPE_CHECKING:
    from trainer_core.contracts.datafacts import DataFacts
    from trainer_core.planning.estimate import Estimate
    from trainer_core.planning.hardware import Machine
    from trainer_core.planning.phases import Component


def add(commands: Commands) -> None:
    text = "What a training will need: memory by phase, steps, time, disk. Nothing is loaded or written."
    command = commands.add_parser("estimate", help="memory, steps, time and disk", description=f"{text} {PATHS}")
    command.add_argument("config", type=user_path, help="TOML config (see config_template.toml), or a run folder")
    command.add_argument("--json", action="store_true", help="one JSON object, sizes in bytes")
    command.add_argument(
        "--gpus", type=int, metavar="N", help="GPUs that share a step (default: those of this machine that it uses)"
    )
    command.set_defaults(run=_estimate)


def _estimate(options: argparse.Namespace) -> None:
    from trainer_core.dataset.facts import read_facts
    from trainer_core.planning.estimate_inputs import EstimateInputs

    config, notes = config_of(options.config)
    try:
        data, problem = read_facts(config), ""
    except UserError as error:
        data, problem = None, str(error)
    machine = detect(Path(config.output_dir))
    # Who asks about a number of GPUs may do so where there is none.
    cuda = uses_gpu(config, machine) or (options.gpus is not None and config.device != "cpu")
    cards = _cards(config, options.gpus, machine)
    inputs = EstimateInputs(config=config, data=data, base=read_base(config), machine=machine, cuda=cuda, cards=cards)
    result = inputs.estimate(find(fit_folder(config), inputs.key))
    if options.json:
        print(json.dumps(as_json(result, problem), ensure_ascii=False, indent=1))
        return
    for note in notes:
        print(f"note: {note}")
    for line in [*lines(result, problem), *_fit(result, config, data, machine)]:
        print(line)


def _cards(config: TrainConfig, asked: int | None, machine: "Machine") -> int:
    if asked is None:
        return processes_of(config, machine)
    if not 1 <= asked <= 1024:
        raise UserError("setting_invalid", f"--gpus {asked}; allowed: 1 to 1024.")
    return asked


def _fit(result: "Estimate", config: TrainConfig, data: "DataFacts | None", machine: "Machine") -> Iterator[str]:
    """Whether each GPU of this machine has that much free; and what to change where it has not."""
    if not result.cuda:
        return
    short = False
    for gpu in chosen_gpus(config, machine):
        fits = gpu.free_mib * 2**20 >= result.needed
        short |= not fits
        verdict = "fits" if fits else f"{gib_text(result.needed - gpu.free_mib * 2**20)} GiB too little"
        yield f"GPU {gpu.index} ({gpu.name}): {gpu.free_mib / 1024:.1f} GiB free, {verdict}"
    if short:
        yield "What would make it smaller, in the published order:"
        yield from (f"  - {hint}" for hint in ladder_hints(config, data))
    if not machine.gpus:
        yield "No NVIDIA GPU is here to compare this with."


def as_json(result: "Estimate", problem: str) -> dict[str, Any]:
    """Every figure, with the sums that the dataclasses compute."""
    values = asdict(result)
    for phase, found in zip(values["phases"], result.phases, strict=True):
        phase["bytes"] = found.bytes
    values["peak"] = {"phase": result.peak.name, "bytes": result.peak.bytes}
    values["host"]["bytes"] = result.host.bytes
    values["disk"]["bytes"] = result.disk.bytes
    values["data_problem"] = problem
    return values


def lines(result: "Estimate", problem: str) -> Iterator[str]:
    """The report, line by line."""
    if problem:
        yield f"note: the data set cannot be read, so steps and time are unknown: {problem}"
    for note in result.notes:
        yield f"note: {note}"
    yield f"Adapter: {result.lora_modules} modules, {result.lora_parameters:,} parameters"
    yield ""
    where = "one GPU, torch's peak allocation" if result.cuda else "main memory, on the CPU"
    yield f"Memory by phase in GiB ({where})"
    for phase in result.phases:
        mark = "  <- peak" if phase is result.peak else ""
        yield f"  {phase.name:32s}{gib_text(phase.bytes):>8s}   {_parts(phase.components)}{mark}"
    if result.measured:
        yield (
            f"  training was measured (python -m trainer_core fit): {gib_text(result.measured.peak)}; "
            f"estimated: {gib_text(result.training_estimate)}"
        )
    if result.reserve:
        reserve, total = gib_text(result.reserve), gib_text(result.needed)
        yield f"  driver and allocator, on top     {reserve:>7s}   so a card with {total} free"
    yield f"  main memory                      {gib_text(result.host.bytes):>7s}   {_parts(result.host.components)}"
    yield f"  mapped files, given back when others need it {gib_text(result.host.mapped)}"
    yield ""
    yield from _steps(result)
    disk = result.disk
    free = "unknown" if disk.free is None else gib_text(disk.free)
    yield f"Disk in GiB: {gib_text(disk.bytes)} ({_parts(disk.components)}); free now: {free}"
    if disk.free is not None and disk.bytes > disk.free:
        yield "warning: that is more than is free. Raise save_epochs_interval, or choose another output_dir."


def _steps(result: "Estimate") -> Iterator[str]:
    steps, speed = result.steps, result.speed
    if steps is not None:
        yield (
            f"Steps: {steps.total_steps:,} ({steps.steps_per_epoch:,} an epoch; an epoch shows "
            f"{steps.shown_per_epoch:,} images, a full step {steps.images_per_step}); {steps.saves:,} saves, "
            f"{steps.sample_pictures:,} sample pictures"
        )
    yield f"Arithmetic of a full step on each card: {result.flops_per_step / 1e12:.1f} TFLOP"
    if speed is None or result.seconds is None:
        yield "Time: unknown until the first steps have run"
    elif not speed.run:
        yield (
            f"Time: at most {duration(result.seconds)} for all steps at {speed.seconds_per_step:.3g} s each, as "
            "measured with the largest batch; encoding, saving and samples come on top"
        )
    else:
        yield (
            f"Time: {duration(result.seconds)} for all steps at {speed.seconds_per_step:.3g} s each "
            f"(mean of {speed.steps} steps of {speed.run}); encoding, saving and samples come on top"
        )


def _parts(components: Iterable["Component"]) -> str:
    return ", ".join(f"{part.name} {gib_text(part.bytes)}" for part in components if part.bytes)


def gib_text(size: float) -> str:
    """GiB without the unit."""
    return f"{size / GIB:.2f}" if size >= GIB / 100 or not size else f"{size / GIB:.1g}"


def duration(seconds: float) -> str:
    """Hours and minutes, minutes, or seconds where it is short."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min" if minutes else f"{seconds:.0f} s"
