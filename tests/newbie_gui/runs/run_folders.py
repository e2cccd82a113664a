"""Run folders as the trainer leaves them, made in a moment, and a queue that holds what a test puts in."""

import json
from pathlib import Path
from typing import Any

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.fsutil import sha256_file
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Entry, Queue


class HeldQueue(Queue):
    """A queue whose jobs are those that a test puts in; what is added is only noted."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__(workspace)
        self.held: list[Entry] = []
        self.added: list[tuple[Any, ...]] = []

    def entries(self) -> tuple[Entry, ...]:
        return tuple(self.held)

    def forget(self, job_id: str) -> None:
        self.held = [entry for entry in self.held if entry.job.id != job_id]

    def add(self, kind: Any, title: str, spec: Any, *, resources: Any, files: Any = (), front: bool = False) -> str:
        self.added.append((kind, title, spec, resources, files))
        return "the-id"


def config(workspace: Workspace, name: str, **changed: Any) -> TrainConfig:
    values = {"base_model_path": "base", "train_data_dir": "data", "output_dir": str(workspace.output), **changed}
    return TrainConfig(output_name=name, **values)


def make_run(workspace: Workspace, name: str, status: Any = "finished", **changed: Any) -> RunDir:
    run = RunDir(workspace.output / name)
    run.create(config(workspace, name, **changed))
    run.write_state(status, step=3, total_steps=9)
    return run


def tell_steps(run: RunDir, first: int, last: int, *, total: int = 100, loss: float = 0.5) -> None:
    log = EventLog(run.events_file)
    for step in range(first, last + 1):
        log.emit(
            "step", step=step, total_steps=total, epoch=1, loss=loss + step / 1000, loss_smoothed=loss, lr=1e-4,
            seconds_per_step=0.5, images_per_second=8.0, memory_gib=1.5, eta_seconds=10.0,
        )  # fmt: skip


def make_checkpoint(run: RunDir, step: int) -> Path:
    folder = run.checkpoints / f"step-{step:08d}"
    folder.mkdir(parents=True)
    (folder / "state.json").write_text(json.dumps({"step": step, "validation_loss": None}))
    listing = {"state.json": {"size": (folder / "state.json").stat().st_size, "sha256": ""}}
    listing["state.json"]["sha256"] = sha256_file(folder / "state.json")
    (folder / "manifest.json").write_text(json.dumps(listing))
    return folder
