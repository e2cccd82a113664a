"""The run folder, the whole truth about a run: config, state, events, log, requests, results.

Only this module and `run_names` spell the names inside a run folder.
"""

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, get_args

import psutil

from trainer_core.contracts.checkpoints import complete_checkpoints
from trainer_core.contracts.config import TrainConfig, to_toml, with_full_paths
from trainer_core.contracts.disk import folder_problem
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import (
    is_disk_full,
    lock_now,
    read_json_object,
    remove_leftovers,
    retry_when_shared,
    write_json_atomic,
    write_text_atomic,
)
from trainer_core.contracts.liveness import is_alive, is_halted
from trainer_core.contracts.run_names import CONFIG_FILE, checkpoint_name, sample_name

Status = Literal["created", "running", "stopped", "finished", "failed"]
Verb = Literal["stop", "save", "sample"]

# A state, an event with its hints and a traceback in the log.
_RESERVE_BYTES = 64 * 1024

# Kept from one state to the next unless given anew; all else belongs to one state only.
_KEPT_FIELDS = ("step", "total_steps", "epoch")


class RunDir:
    """The folder of one run, for training ``output_dir/output_name``. Making the object touches no disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @staticmethod
    def of(config: TrainConfig) -> "RunDir":
        """The folder that a training with these settings is, or will be, kept in."""
        return RunDir(Path(config.output_dir) / config.output_name)

    @property
    def config_file(self) -> Path:
        """The configuration the run was started with last."""
        return self.path / CONFIG_FILE

    @property
    def state_file(self) -> Path:
        return self.path / "state.json"

    @property
    def events_file(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def log_file(self) -> Path:
        return self.path / "train.log"

    @property
    def recovered_file(self) -> Path:
        """Settings that the run changed for want of memory."""
        return self.path / "recovered.json"

    @property
    def validation_file(self) -> Path:
        """Every measured validation loss, and which checkpoint is the best."""
        return self.path / "validation.json"

    @property
    def board(self) -> Path:
        """Folder of what TensorBoard reads, where the run was asked to write it."""
        return self.path / "tensorboard"

    @property
    def lock_file(self) -> Path:
        return self.path / ".lock"

    @property
    def control(self) -> Path:
        """Folder of the requests to the running trainer."""
        return self.path / "control"

    @property
    def samples(self) -> Path:
        return self.path / "samples"

    def sample(self, step: int, number: int) -> Path:
        """The picture of the prompt at that place in sample_prompts."""
        return self.samples / sample_name(step, number)

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    def checkpoint(self, step: int) -> Path:
        return self.checkpoints / checkpoint_name(step)

    @property
    def exports(self) -> Path:
        return self.path / "exports"

    @property
    def earlier(self) -> Path:
        """Exports and samples of an earlier life of the run, that went on from an older step or began anew."""
        return self.path / "earlier"

    def has_begun(self) -> bool:
        """True once there is a checkpoint to go on from; without one the run starts anew, with any settings."""
        return bool(complete_checkpoints(self.checkpoints))

    def create(self, cfg: TrainConfig) -> None:
        """Make the folders and write ``cfg``, paths in full. An existing run gets the new one and keeps the rest.

        Raises:
            UserError: ``run_folder_unusable``, the folder cannot be made or written.
        """
        self._make_folder(self.path)
        for folder in (self.control, self.samples, self.checkpoints, self.exports):
            self._make_folder(folder)
        try:
            write_text_atomic(self.config_file, to_toml(with_full_paths(cfg)))
            if not self.state_file.exists():
                self.write_state("created")
        except OSError as error:
            raise self._unusable(error) from error

    def read_state(self) -> dict[str, Any]:
        """The last written state: status, time, pid, process_start_time, step, total_steps, epoch and what
        came with it; empty where none is readable. `status` tells whether it is still true.
        """
        return read_json_object(self.state_file)

    def own_changes(self) -> dict[str, dict[str, Any]]:
        """What the run itself had to change for want of memory: "old" and "new" by option."""
        return read_json_object(self.recovered_file)

    def read_validation(self) -> dict[str, Any]:
        """What `validation_file` holds: "measured" and "best"; empty where none is readable."""
        return read_json_object(self.validation_file)

    def best_step(self) -> int | None:
        """The step of the best checkpoint, as validation.json names it."""
        best = self.read_validation().get("best")
        step = best.get("step") if isinstance(best, dict) else None
        return step if isinstance(step, int) else None

    def write_state(self, status: Status, **fields: object) -> None:
        """Replace the state by this process's; step, total_steps and epoch stay unless given anew."""
        assert status in get_args(Status), status
        before = self.read_state()
        state = {
            "status": status,
            "time": time.time(),
            "pid": os.getpid(),
            "process_start_time": psutil.Process().create_time(),
            **{name: before.get(name, 0) for name in _KEPT_FIELDS},
            **fields,
        }
        write_json_atomic(self.state_file, state)

    def status(self) -> Status:
        """The state as it really is: a "running" whose process is gone is "failed"; no state is "created"."""
        state = self.read_state()
        if _died_silently(state):
            return "failed"
        return next((known for known in get_args(Status) if known == state.get("status")), "created")

    def interrupted(self) -> bool:
        """True if the run died without a word: it says "running", but its process is gone."""
        return _died_silently(self.read_state())

    def is_run_by(self, pid: int) -> bool:
        """True if process ``pid`` is there and the state says that it runs."""
        return self.status() == "running" and self.read_state().get("pid") == pid

    def halted(self) -> bool:
        """True if its process is there and the system does not let it run."""
        state = self.read_state()
        return state.get("status") == "running" and is_halted(state.get("pid"), state.get("process_start_time"))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run for this process; the folder is made if needed. The system frees it when a process dies.

        Raises:
            UserError: ``run_busy``, another trainer holds it; ``run_folder_unusable``.
        """
        self._make_folder(self.path)
        try:
            file = open(self.lock_file, "ab")
        except OSError as error:
            raise self._unusable(error) from error
        with file:
            if not lock_now(file):
                raise self._busy()
            yield

    def request(self, verb: Verb) -> None:
        """Ask the trainer for something; asking twice before it looks is asking once.

        Raises:
            UserError: ``run_missing``, there is no such run.
            ValueError: an unknown verb.
        """
        if verb not in get_args(Verb):
            raise ValueError(f"unknown request {verb!r}; known are {', '.join(get_args(Verb))}")
        try:
            # An empty file has no half-written state: making it is atomic.
            (self.control / verb).touch()
        except FileNotFoundError as error:
            raise UserError("run_missing", f"{self.path} is not a run folder.") from error

    def take_requests(self) -> set[str]:
        """The requests since the last call, each handed out once. A stop also stays to be seen by `stop_announced`."""
        taken = {verb for verb in get_args(Verb) if _removed(self.control / verb)}
        if "stop" in taken:
            self._stop_mark.touch()
        return taken

    def stop_announced(self) -> bool:
        """True once the process that takes the requests has taken a stop: for the other processes of the run."""
        return self._stop_mark.exists()

    def stop_wanted(self) -> bool:
        """True once a stop was asked for, taken or not: for who starts the run's processes, when all have ended."""
        return (self.control / "stop").exists() or self.stop_announced()

    def forget_requests(self) -> None:
        """Requests left over from an earlier life of this run are not meant for the next one."""
        self.take_requests()
        _removed(self._stop_mark)

    def keep_reserve(self) -> None:
        """Set some room aside, so that on a disk running full the end of the run can still be written down.

        Raises:
            OSError: the disk is full already.
        """
        with open(self._reserve, "wb") as file:
            # Random bytes: a file system that compresses would keep no room for zeros.
            file.write(os.urandom(_RESERVE_BYTES))

    def free_reserve(self) -> None:
        """Give the room back, for the last words or at the end."""
        with suppress(OSError):
            self._reserve.unlink(missing_ok=True)

    def remove_leftovers(self) -> None:
        """Delete what a killed trainer had half written. Only while the lock is held, before anything is written."""
        for folder in (self.path, self.samples, self.exports, self.checkpoints):
            remove_leftovers(folder, also_own=True)
        # Under this name the trainer began its checkpoints before; who holds the lock is the only one.
        for half in self.checkpoints.glob(".tmp-*"):
            shutil.rmtree(half, ignore_errors=True)

    @property
    def _reserve(self) -> Path:
        return self.path / ".reserve"

    @property
    def _stop_mark(self) -> Path:
        return self.control / ".stopping"

    def require_place(self) -> None:
        """Whether the folder could be made and written to; makes nothing. Raises UserError `run_folder_unusable`."""
        if problem := folder_problem(self.path):
            raise self._unusable(problem)

    def _make_folder(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def _unusable(self, error: OSError) -> UserError:
        if is_disk_full(error):
            hint = "Free some space, or write to another disk."
            return UserError("disk_full", f"The disk is full: {self.path} cannot be made.", [hint])
        return UserError(
            "run_folder_unusable",
            f"The run folder {self.path} cannot be used: {error.strerror} ({error.filename or self.path}).",
            ["Choose another output_dir or output_name, or free this path."],
        )

    def _busy(self) -> UserError:
        pid = self.read_state().get("pid", "unknown")
        return UserError(
            "run_busy",
            f"Another trainer is at work in {self.path} (process {pid}).",
            ["Wait for it or stop it first.", "For a second run choose another output_name."],
        )


def _died_silently(state: Mapping[str, Any]) -> bool:
    return state.get("status") == "running" and not is_alive(state.get("pid"), state.get("process_start_time"))


def _removed(path: Path) -> bool:
    try:
        retry_when_shared(path.unlink)
    except FileNotFoundError:
        return False
    return True
