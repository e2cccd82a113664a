"""Check fit: a few steps of the real model with its most expensive batch, to see what a training takes.

Everything is as in training (loading, quantisation, adapter, optimizer, precision, checkpointing) but the features,
which are random ones of the largest bucket with as many images as a batch of it holds, each with a caption as long as
the estimate takes the data set's longest to be. No run is touched; the answer is kept beside the runs.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Literal

import torch

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import system_problem
from trainer_core.contracts.phase_names import CHECKING_DATA, LOADING_TRANSFORMER, TRYING, Report
from trainer_core.dataset.facts import read_facts
from trainer_core.model.folder import BaseFolder
from trainer_core.planning.base import read_base
from trainer_core.planning.estimate import Estimate
from trainer_core.planning.estimate_inputs import EstimateInputs
from trainer_core.planning.gpu_choice import chosen_gpus
from trainer_core.planning.hardware import detect
from trainer_core.planning.ladder import ladder_hints
from trainer_core.planning.measured import MeasuredStep, fit_folder, keep, passes_of
from trainer_core.planning.phases import GIB, HELD, Workload
from trainer_core.planning.presets import reserve_gib
from trainer_core.training.building import load_base, make_trainable
from trainer_core.training.checks import adapted, base_of, check_early, kernel_notes
from trainer_core.training.device import pick_device
from trainer_core.training.distributed import World
from trainer_core.training.dummy_data import RandomFeatures, dummy_samples
from trainer_core.training.loop import Trainer
from trainer_core.training.memory import PeakMemory, release_memory
from trainer_core.training.metering import seconds_of
from trainer_core.training.steps import Schedule

# "tight": it fits, but leaves less of a card free than the presets want to be left.
Verdict = Literal["fits", "tight", "no"]

# A warm-up step of more seconds than this is followed by one timed step, a faster one by two.
SLOW_S = 15.0
TIMED = 2
# Further micro-batches of a step only repeat the second one, which already finds gradients in memory.
MICRO_BATCHES = 2


@dataclass(frozen=True, kw_only=True)
class FitResult:
    """The answer. Sizes in bytes.

    Attributes:
        measured: None where memory ran out, or was too short to begin.
        forecast: of the whole run, with what was measured in it.
        needed: of the device's memory at the run's peak, with what the driver takes; of main memory on a CPU.
        free: of the same, before the model was loaded; None where the driver does not tell.
        hints: what to change where it does not fit.
        took: seconds of the whole check.
    """

    verdict: Verdict
    measured: MeasuredStep | None
    forecast: Estimate
    needed: int
    free: int | None
    hints: tuple[str, ...]
    took: float


def check_fit(
    config: TrainConfig,
    *,
    report: Report,
    warn: Callable[[str], None],
    cards: int = 1,
) -> FitResult:
    """Measure a step of these settings on one device.

    Args:
        report: told what comes next, before each piece of work; what it raises ends the check there.
        warn: told in what way a setting is carried out otherwise than written.
        cards: GPUs that would share a step; the first is tried.

    Raises:
        UserError: what would keep the training from starting.
    """
    started = time.monotonic()
    report(CHECKING_DATA, 0, 1)
    # Before CUDA takes memory for this process, which the forecast counts itself.
    machine = detect(Path(config.output_dir))
    device = pick_device(config.device)
    base = base_of(config)
    carried_out, notes = adapted(config, device)
    for note in notes:
        warn(note)
    check_early(carried_out, base, device)
    data = read_facts(config)
    question = _FitInputs(
        config=config, data=data, base=read_base(config), machine=machine, cuda=device.type == "cuda", cards=cards,
    )  # fmt: skip
    measured = _tried(question, carried_out, base, device, report=report, warn=warn)
    if measured:
        # A disk that is full or may not be written to takes no note; the answer is told all the same.
        with suppress(OSError):
            keep(fit_folder(config), measured)
    return question.answer(measured, took=time.monotonic() - started)


class _FitInputs(EstimateInputs):
    """`machine`: before this process used a GPU."""

    @property
    def device(self) -> str:
        # Where the driver's own library is missing nobody else will know it either.
        return super().device or torch.cuda.get_device_name()

    @property
    def free(self) -> int | None:
        """Bytes that were free before the check."""
        if not self.cuda:
            return self.machine.memory_free_mib * 2**20
        gpu = next(iter(chosen_gpus(self.config, self.machine)), None)
        return gpu.free_mib * 2**20 if gpu and gpu.total_mib else None

    @property
    def held(self) -> int:
        """Bytes that a training cannot do without, whatever the batch."""
        return sum(part.bytes for part in self.estimate(None).training.components if part.name in HELD)

    def answer(self, measured: MeasuredStep | None, *, took: float) -> FitResult:
        forecast = self.estimate(measured)
        verdict = self._verdict(forecast) if measured else "no"
        # What only a card can do is no advice where there is none.
        config = self.config if self.cuda else replace(self.config, device="cpu")
        hints = ladder_hints(config, self.data) if verdict == "no" else ()
        return FitResult(
            verdict=verdict, measured=measured, forecast=forecast, needed=forecast.needed, free=self.free, hints=hints,
            took=took,
        )  # fmt: skip

    def _verdict(self, forecast: Estimate) -> Verdict:
        if self.free is None:
            # It was just seen to fit.
            return "fits"
        if forecast.needed > self.free:
            return "no"
        reserve = int(reserve_gib(self.machine) * GIB) if self.cuda else 0
        return "tight" if forecast.peak.bytes + reserve > self.free else "fits"


def _tried(
    question: _FitInputs,
    config: TrainConfig,
    base: BaseFolder,
    device: torch.device,
    *,
    report: Report,
    warn: Callable[[str], None],
) -> MeasuredStep | None:
    """None where memory does not suffice."""
    if device.type == "cpu" and question.free is not None and question.held > question.free:
        # A system without free memory ends any of its programs, and not always the one that asked.
        return None
    found = None
    try:
        for note in kernel_notes(device):
            warn(note)
        found = _measured(question, config, base, device, report)
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
    # Outside of the handler: the error holds the frames, and they the tensors.
    release_memory()
    return found


def _is_memory(error: Exception) -> bool:
    """Whether it was the GPU's memory that ran out, or the machine's."""
    problem = system_problem(error)
    return problem is not None and problem.code in ("gpu_memory_full", "memory_full")


def _measured(
    question: _FitInputs, config: TrainConfig, base: BaseFolder, device: torch.device, report: Report
) -> MeasuredStep:
    """Load, warm up, time. Raises what `_is_memory` knows."""
    width, height, images = question.work.micro_batch
    with PeakMemory(device) as memory:
        report(LOADING_TRANSFORMER, 0, 1)
        trainer = build_trainer(config, base, device, question.work)
        try:
            times = _timed(trainer, device, report)
        finally:
            trainer.close()
    # The optimizer's own part is counted as often as well: a little too much rather than too little.
    repeats = passes_of(config) / _micro_batches(config)
    return MeasuredStep(
        key=question.key, cuda=question.cuda, device=question.device, peak=max(1, memory.peak), process=memory.process,
        seconds_per_step=median(times) * repeats, steps=len(times),
        images_per_step=images * passes_of(config), width=width, height=height, images=images,
        caption_tokens=question.work.caption_tokens,
    )  # fmt: skip


def build_trainer(config: TrainConfig, base: BaseFolder, device: torch.device, work: Workload) -> Trainer:
    """The trainer of `config` over the most expensive batch alone."""
    width, height, images = work.micro_batch
    micro = _micro_batches(config)
    config = replace(
        config, train_batch_size=images, micro_batch_size=0, gradient_accumulation_steps=micro,
        max_train_steps=1 + TIMED, caption_dropout_rate=0.0,
    )  # fmt: skip
    world = World(mixed_precision=config.mixed_precision, cpu=device.type == "cpu")
    model = load_base(config, base, world.accelerator.device)
    parameters = make_trainable(model, config)
    features = RandomFeatures(
        channels=model.in_channels, caption_dim=model.cap_feat_dim, pooled_dim=model.clip_text_dim
    )
    return Trainer(
        config, model, parameters,
        store=features,
        schedule=Schedule(config, dummy_samples((width, height), [work.caption_tokens] * images * micro)),
        world=world,
    )  # fmt: skip


def _micro_batches(config: TrainConfig) -> int:
    return min(MICRO_BATCHES, passes_of(config))


def _timed(trainer: Trainer, device: torch.device, report: Report) -> list[float]:
    """Seconds of the timed steps; the warm-up step before them loads kernels and makes the optimizer's state."""
    report(TRYING, 0, 1 + TIMED)
    first = seconds_of(partial(trainer.step, 0), device)
    times: list[float] = []
    for step in range(1, 1 + (1 if first > SLOW_S else TIMED)):
        report(TRYING, step, 1 + TIMED)
        times.append(seconds_of(partial(trainer.step, step), device))
    return times
