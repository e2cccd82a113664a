"""The job of kind "train": what the command `train` does, with the config that the job's folder holds."""

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import psutil

from trainer_core.cli.job import cards_to_show
from trainer_core.cli.train import train
from trainer_core.contracts.config import load_config, to_toml
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import failure_since
from trainer_core.contracts.fsutil import tail, write_text_atomic
from trainer_core.contracts.jobdir import JobDir
from trainer_core.contracts.rundir import RunDir
from trainer_core.jobs.context import JobContext, JobStopped

_POLL_S = 0.2
_LOG_TAIL_BYTES = 16 * 1024


def run(spec: Mapping[str, Any], job: JobContext) -> Mapping[str, Any]:
    """Train, or continue the run that the job's ``config.toml`` names; returns its folder as ``run``.

    Requests to the job (stop, save, sample) reach the run. Raises UserError, and JobStopped after a stop.
    """
    folder = job.folder
    _name_cards(folder)
    config = load_config(folder.config_file)
    run_folder = RunDir.of(config)
    try:
        with _requests_passed_on(folder, run_folder):
            code = train(folder.config_file)
    finally:
        _note_steps(folder, run_folder)
    if code:
        raise _told_by(run_folder, since=_started(folder)) or _printed(folder) or _unexplained(code)
    if run_folder.status() == "stopped":
        raise JobStopped
    return {"run": str(run_folder.path.resolve())}


def _name_cards(folder: JobDir) -> None:
    """A config that asks for all cards gets those that the job occupies."""
    config = load_config(folder.config_file)
    job = folder.read_job()
    if config.gpus == "all" and any(name.startswith("gpu:") for name in job.resources):
        write_text_atomic(folder.config_file, to_toml(replace(config, gpus=cards_to_show(job))))


@contextmanager
def _requests_passed_on(folder: JobDir, run_folder: RunDir) -> Iterator[None]:
    """While it is entered, what is asked of the job is asked of the run as soon as there is one to ask."""
    done = threading.Event()

    def pass_on() -> None:
        wanted: set[str] = set()
        while not done.wait(_POLL_S):
            wanted |= folder.take_requests()
            if wanted and _is_ours(run_folder):
                for verb in wanted:
                    run_folder.request(verb)  # type: ignore[arg-type]
                wanted = set()

    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _is_ours(run_folder: RunDir) -> bool:
    """True once this process, or one that it started, trains there: what was asked before is then forgotten."""
    state = run_folder.read_state()
    if state.get("status") != "running":
        return False
    pid = state.get("pid")
    return pid == os.getpid() or pid in {child.pid for child in psutil.Process().children()}


def _started(folder: JobDir) -> float:
    return float(folder.read_state().get("started", 0.0))


def _note_steps(folder: JobDir, run_folder: RunDir) -> None:
    """The run may go on later, by another job: how far this one came is kept with it."""
    started, state = _started(folder), run_folder.read_state()
    if state.get("time", 0.0) >= started:
        steps = {name: state.get(name, 0) for name in ("step", "total_steps")}
        folder.write_state("running", started=started, **steps)


def _told_by(run_folder: RunDir, *, since: float) -> UserError | None:
    """Why the run failed, in the words of one of its processes; the log of events also holds its earlier lives."""
    failed = failure_since(run_folder.events_file, since - 1.0)
    return UserError.of(failed) if failed else None


def _printed(folder: JobDir) -> UserError | None:
    """The last error in the log: of several processes that found something before they opened the run."""
    text = tail(folder.log_file, _LOG_TAIL_BYTES).decode("utf-8", "replace")
    _, mark, told = f"\n{text}".rpartition("\nerror: ")
    if not mark:
        return None
    message, *more = told.splitlines()
    hints = [line.removeprefix("  - ") for line in more if line.startswith("  - ")]
    return UserError("training_failed", message, hints)


def _unexplained(code: int) -> UserError:
    return UserError(
        "training_failed", f"The training ended with exit code {code}.", ["The log of this job tells more."]
    )
