"""Does a step's share of the loop grow with the run? python -m bench.growth [--steps N --images N]; one JSON line.

Everything around the arithmetic is real: order of the images, events, state, requests, advice, checkpoints and exports.
Only forward, backward and optimizer are left out, so that a hundred thousand steps take minutes.
"""

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from statistics import median
from typing import Any

import torch
from torch import nn

from bench.machine import machine
from trainer_core.contracts.config import TrainConfig, parse_config
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.rundir import RunDir
from trainer_core.dataset.scan import ImageItem
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.hardware import Machine
from trainer_core.training.advising import Advisor
from trainer_core.training.checks import base_of
from trainer_core.training.distributed import World
from trainer_core.training.export import TrainingFacts
from trainer_core.training.features import Sample
from trainer_core.training.loop import HostCopy, LaunchedStep, Trainer
from trainer_core.training.memory import Phases, resident_bytes
from trainer_core.training.reporting import Reporter
from trainer_core.training.session import Session
from trainer_core.training.steps import Schedule
from trainer_core.training.stopping import StopSignal
from trainer_core.training.validation import Validator

MIB = 2**20


class Instant(Trainer):
    """Picks a step's images as ever, and makes up its figures. ``tick``: called at each step."""

    def __init__(self, config: TrainConfig, schedule: Schedule, world: World, tick: Callable[[], None]) -> None:
        adapter = nn.ParameterDict({"A": torch.ones(config.lora_rank, 4), "B": torch.ones(4, config.lora_rank)})
        super().__init__(
            config, adapter,  # type: ignore[arg-type]
            {f"layers.0.attention.out.lora_{half}": parameter for half, parameter in adapter.items()},
            store=None, schedule=schedule, world=world,  # type: ignore[arg-type]
        )  # fmt: skip
        # The optimizer's moments, which a checkpoint holds.
        sum(parameter.sum() for parameter in adapter.values()).backward()
        self.optimizer.step()
        self._tick = tick
        self._rng = random.Random(0)

    def launch(self, step: int) -> LaunchedStep:
        self._tick()
        figures = HostCopy(torch.tensor([0.3 * self._rng.uniform(0.5, 1.5), 1.0]))
        return LaunchedStep(step=step, lr=1e-4, group=self.schedule.group(step), figures=figures, scaled=False)


class Clock:
    """The process's own seconds for a call, in parts of ``every`` calls, and the resident bytes where one begins.

    Its own, for what else the machine does would show as growth.
    """

    def __init__(self, every: int) -> None:
        self._every = every
        self._calls = 0
        self._begun = 0.0
        self.paces: list[float] = []
        self.resident: list[int] = []

    def __call__(self) -> None:
        if self._calls % self._every == 0:
            now = time.process_time()
            if self._calls:
                self.paces.append((now - self._begun) / self._every)
            gc.collect()
            self.resident.append(resident_bytes())
            self._begun = time.process_time()
        self._calls += 1


def samples_of(count: int) -> list[Sample]:
    """So many images, none of which is there."""
    return [
        Sample(
            item=ImageItem(
                path=Path(f"{n}.png"), relative=PurePosixPath(f"{n}.png"), caption=f"a, b{n}", repeats=1, width=64,
                height=64,
            ),
            image_hash=f"{n:064x}", bucket=(64, 64), latents=f"{n:064x}", texts=((f"{n:064x}", f"{n:064x}"),),
        )
        for n in range(count)
    ]  # fmt: skip


def measure(steps: int, images: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        config = parse_config(
            {
                "base_model_path": str(TINY_BASE), "train_data_dir": "-", "output_dir": folder, "output_name": "run",
                "device": "cpu", "mixed_precision": "no", "max_train_steps": steps, "optimizer_type": "AdamW",
                "save_epochs_interval": steps, "save_every_n_steps": max(1, steps // 20), "sample_prompts": [],
                "tensorboard": False,
            }
        )  # fmt: skip
        clock = Clock(max(1, steps // 20))
        _train(config, samples_of(images), clock)
    # The first part loads what is used for the first time.
    first, last = median(clock.paces[1:6]), median(clock.paces[-5:])
    return {
        "steps": steps,
        "images": images,
        "microseconds_per_step_first": 1e6 * first,
        "microseconds_per_step_last": 1e6 * last,
        "last_over_first": last / first,
        "memory_growth_mib": (clock.resident[-1] - clock.resident[2]) / MIB,
        "machine": machine(),
    }


def _train(config: TrainConfig, samples: list[Sample], tick: Callable[[], None]) -> None:
    world = World(mixed_precision="no", cpu=True)
    run = RunDir.of(config)
    run.create(config)
    trainer = Instant(config, Schedule(config, samples), world, tick)
    events = Reporter(EventLog(run.events_file), run.log_file)
    facts = TrainingFacts(
        step=0, epoch=0, images=len(samples), tag_frequency={}, buckets={}, base_hash="", started_at=time.time()
    )
    try:
        with StopSignal(run) as stop:
            Session(
                config, base_of(config), run, trainer, world=world, store=None, # type: ignore[arg-type]
                validator=Validator(config, [], None, world),  # type: ignore[arg-type]
                advisor=Advisor(
                    config, samples, events, device="cpu", machine=Machine, total_steps=trainer.schedule.total_steps
                ),
                events=events, phases=Phases(events, torch.device("cpu")), stop=stop, facts=facts, state={},
            ).train({})  # fmt: skip
    finally:
        trainer.close()
        events.close()


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.growth", description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000)
    parser.add_argument("--images", type=int, default=100_000)
    options = parser.parse_args(arguments)
    if options.steps < 100 or options.images < 1:
        parser.error("--steps must be at least 100, --images at least 1")
    torch.set_num_threads(1)
    print(json.dumps(measure(options.steps, options.images)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
