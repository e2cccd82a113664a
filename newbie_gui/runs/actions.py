"""What can be done with a run: start it, continue it with changes or without, copy its settings, delete it."""

import glob
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from newbie_gui.runs.store import Row, RunStore
from trainer_core.contracts import moved_run
from trainer_core.contracts.base_part import BASE_OPTIONS
from trainer_core.contracts.config import Change, TrainConfig, changes, load_config, require_none_refused, to_toml
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.run_names import CONFIG_FILE
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.trash import to_trash
from trainer_core.jobs.queue import Queue
from trainer_core.planning.gpu_choice import chosen_gpus, uses_gpu
from trainer_core.planning.hardware import Machine
from trainer_core.planning.reached import reached

# What a changed setting does to a begun run: nothing to what is learnt, another course of the learning rate, something
# else, too much; or the run has no checkpoint yet, so that it begins anew with any value.
Effect = Literal["continue", "length", "warn", "refuse", "fresh"]
_LENGTH = ("num_epochs", "max_train_steps")
_BEGUN_WITH = (*BASE_OPTIONS, "train_data_dir", "validation_data_dir")


@dataclass(frozen=True, kw_only=True)
class PlannedChange:
    """A setting that differs from the run's own, and what that will do."""

    name: str
    old: object
    new: object
    effect: Effect


def start(queue: Queue, config: TrainConfig, machine: Machine, *, front: bool = False) -> str:
    """Queue a training with these settings; the settings are frozen in its job. Returns the job's id.

    A run of the same folder goes on from its newest checkpoint, as the trainer does it.
    """
    spec, files = {"run": str(RunDir.of(config).path)}, {CONFIG_FILE: to_toml(config)}
    occupied = resources(config, machine)
    return queue.add("train", config.output_name, spec, resources=occupied, files=files, front=front)


def resources(config: TrainConfig, machine: Machine) -> tuple[str, ...]:
    """What the training occupies alone: "gpu:N" for each card it may use, "cpu" without any."""
    if not (uses_gpu(config, machine) and machine.gpus):
        return ("cpu",)
    if config.gpus == "all":
        return tuple(dict.fromkeys(f"gpu:{gpu.index}" for gpu in chosen_gpus(config, machine)))
    return tuple(dict.fromkeys(f"gpu:{int(number)}" for number in config.gpus.split(",")))


def config_of(row: Row) -> TrainConfig:
    """The settings a run was started with last, for the folder where it lies now (`moved_run.at`).

    Raises:
        ConfigError: they cannot be read.
    """
    config = load_config(row.run.config_file)
    return moved_run.at(config, row.folder) if row.begun else config


def require_folders(config: TrainConfig, trash: Path) -> None:
    """Raises UserError `folder_gone` where what a run was begun with is not there any more, and where it may lie."""
    for name in _BEGUN_WITH:
        path = getattr(config, name)
        if not os.path.isabs(path) or os.path.exists(path):
            continue
        thrown = sorted(trash.glob(f"*-{glob.escape(Path(path).name)}"))
        hints = [f"It lies in the trash: move {thrown[-1]} back to {path}."] if thrown else ["Put it back there."]
        raise UserError("folder_gone", f"{path}, which the run was trained with, is not there any more.", hints)


def steps_enough(config: TrainConfig) -> int:
    """How many steps the run of these settings has done, where they leave nothing to do; else 0."""
    found = reached(RunDir.of(config))
    return found.steps if found and found.is_enough(config) else 0


def planned_changes(row: Row, new: TrainConfig) -> tuple[PlannedChange, ...]:
    """How ``new`` differs from the run's own settings, apart from where the run lies."""
    return tuple(
        PlannedChange(name=change.name, old=change.old, new=change.new, effect=_effect(row, change, new))
        for change in changes(config_of(row), new)
        if change.name not in ("output_dir", "output_name")
    )


def _effect(row: Row, change: Change, new: TrainConfig) -> Effect:
    if not row.run.has_begun():
        return "fresh"
    # A constant rate is the same at each step of a run of any length.
    stretches = change.name in _LENGTH and not new.lr_scheduler.startswith("constant")
    return "length" if stretches else change.rerun


def continued(row: Row, new: TrainConfig) -> TrainConfig:
    """``new`` as settings with which this very run goes on. Raises UserError `rerun_refused` naming what it cannot
    take.
    """
    own = config_of(row)
    if row.run.has_begun():
        require_none_refused(changes(own, new), row.folder)
    return replace(new, output_dir=own.output_dir, output_name=own.output_name)


def free_name(config: TrainConfig, rows: tuple[Row, ...]) -> str:
    """An output_name that no run and no waiting job of the same folder has: NAME-2, NAME-3, ..."""
    taken = {row.name for row in rows}
    base, _, number = config.output_name.rpartition("-")
    stem, count = (base, int(number)) if base and number.isdecimal() and len(number) < 4 else (config.output_name, 1)
    while True:
        count += 1
        name = f"{stem}-{count}"
        if name not in taken and not (Path(config.output_dir) / name).exists():
            return name


def duplicated(row: Row, store: RunStore) -> TrainConfig:
    """The run's settings under a free name."""
    config = config_of(row)
    return replace(config, output_name=free_name(config, store.rows()))


def delete(row: Row, store: RunStore) -> Path:
    """Move a run to the trash, and its jobs that ended; returns where the run lies now.

    Raises:
        UserError: ``run_in_use``, it waits or is at work; ``run_missing``.
        OSError: the disk refused; the run is where it was.
    """
    if row.live:
        raise UserError(
            "run_in_use",
            f"{row.name} is {row.state}; nothing was deleted.",
            ["Stop it or take it out of the queue first."],
        )
    if not row.begun:
        raise UserError("run_missing", f"{row.name} has no run folder.", ["Remove its job from the queue instead."])
    try:
        goal = to_trash(store.workspace.trash, row.folder, f"run-{row.name}")
    except FileNotFoundError as error:
        raise UserError("run_missing", f"{row.folder} is not there any more.") from error
    # A failed or stopped job without its run folder would stay in the list as a run that never began.
    store.forget_jobs(row)
    store.forget_list()
    return goal
