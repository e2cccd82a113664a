"""Runs and jobs in the app's workspace, written by the trainer's own writers; the test plays trainer and worker."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.fsutil import sha256_file
from trainer_core.contracts.jobdir import Job, JobDir, Kind
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Queue
from trainer_core.training.sampling import SampleSettings, save_png


def make_run(workspace: Workspace, name: str, status: Any = "finished", **changed: Any) -> RunDir:
    values = {"base_model_path": "base", "train_data_dir": "data", "output_dir": str(workspace.output), **changed}
    run = RunDir(workspace.output / name)
    run.create(TrainConfig(output_name=name, **values))
    run.write_state(status, step=0, total_steps=1000)
    return run


def step_fields(step: int, loss: float, total: int = 1000) -> dict[str, Any]:
    """Fields of one step event, as the loop tells them."""
    return {
        "step": step, "total_steps": total, "epoch": 1 + step // 100, "loss": loss, "loss_smoothed": 0.13371337,
        "lr": 1e-4, "grad_norm": 0.4256871938705444, "images_per_second": 7.9123456789, "seconds_per_step": 0.5055555,
        "memory_gib": 9.1234567, "eta_seconds": 12345.678,
    }  # fmt: skip


def falling(steps: int) -> list[float]:
    noise = np.random.default_rng(5).lognormal(-2, 0.3, steps)
    result: list[float] = (noise * np.linspace(1, 0.4, steps)).tolist()
    return result


def tell_many(run: RunDir, losses: list[float]) -> None:
    """As `EventLog.emit` writes it, without opening the file once a step."""
    lines = (
        json.dumps({"event": "step", "time": 1764000000.5, **step_fields(step, loss, len(losses))})
        for step, loss in enumerate(losses, 1)
    )
    with open(run.events_file, "a", encoding="utf-8") as log:
        log.writelines(f"{line}\n" for line in lines)
    run.write_state("finished", step=len(losses), total_steps=len(losses))


def add_samples(run: RunDir, steps: tuple[int, ...], prompts: tuple[str, ...]) -> None:
    for step in steps:
        for number, prompt in enumerate(prompts):
            settings = SampleSettings(
                prompt=prompt, negative_prompt="", width=64, height=64, steps=8, cfg=4.5, shift=6.0, seed=42 + number
            )
            image = Image.new("RGB", (64, 64), (step % 256, 40 * number, 90))
            save_png(image, run.samples / f"step-{step:08d}-{number:02d}.png", settings, step=step)


def add_saved(run: RunDir, step: int) -> Path:
    """A checkpoint that counts as complete, and a LoRA file of the same step."""
    folder = run.checkpoints / f"step-{step:08d}"
    folder.mkdir()
    state = folder / "state.json"
    state.write_text(json.dumps({"step": step, "validation_loss": None}), encoding="utf-8")
    listing = {"state.json": {"size": state.stat().st_size, "sha256": sha256_file(state)}}
    (folder / "manifest.json").write_text(json.dumps(listing), encoding="utf-8")
    (run.exports / f"{run.path.name}-step-{step:08d}.safetensors").write_bytes(b"lora" * 1000)
    return folder


def tell(run: RunDir, kind: str, **fields: Any) -> None:
    EventLog(run.events_file).emit(kind, **fields)


def until(met: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def held_queue(workspace: Workspace) -> Iterator[Callable[[Kind], JobDir]]:
    """Nothing that takes long is started meanwhile. Gives the only job of a kind that waits, once there is one; what
    waits at the end is taken back."""
    queue = Queue(workspace)

    def waiting() -> list[Job]:
        return [entry.job for entry in queue.entries() if entry.status == "waiting"]

    def asked(kind: Kind) -> JobDir:
        until(lambda: kind in [job.kind for job in waiting()])
        [job] = [job for job in waiting() if job.kind == kind]
        return JobDir(workspace.jobs / job.id)

    queue.set_paused(True)
    try:
        yield asked
    finally:
        for job in waiting():
            queue.cancel(job.id)
        queue.set_paused(False)
