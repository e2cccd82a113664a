"""`job`: do what a job's folder says; the worker starts it (see `trainer_core.jobs.worker`)."""

import argparse
import importlib
import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Any, TypeAlias

from trainer_core.cli.shared import Commands, stay_offline
from trainer_core.contracts.errors import UserError, as_user_error
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.jobdir import Job, JobDir
from trainer_core.contracts.rundir import Status
from trainer_core.contracts.user_path import user_path
from trainer_core.jobs.context import JobContext, JobStopped
from trainer_core.jobs.ranks import child_environment
from trainer_core.planning.hardware import detect

# What does the work of each kind: imported when it is its turn, for most of them need torch.
FUNCTIONS = MappingProxyType({
    "train": "trainer_core.cli.job_train:run",
    "merge": "trainer_core.tools.job_merge:run",
    "convert_lora": "trainer_core.tools.job_merge:convert_lora",
    "try": "trainer_core.tools.job_try:run",
    "tokens": "trainer_core.tools.job_tokens:run",
    "convert": "trainer_core.tools.job_base:convert",
    "download": "trainer_core.tools.job_base:download",
    "import": "trainer_core.dataset.importing:run",
    "index": "trainer_core.dataset.indexing:run",
    "demo": "trainer_core.tools.job_demo:run",
    "fit": "trainer_core.tools.job_fit:run",
})  # fmt: skip
# A training fetches only the parts that its config names on the hub, as the command `train` does.
_ONLINE = frozenset({"train", "convert", "download"})

JobFunction: TypeAlias = Callable[[Mapping[str, Any], JobContext], Mapping[str, Any]]


def add(commands: Commands) -> None:
    text = "Do one job of the browser side's queue. Its state, events and log are written into its folder."
    command = commands.add_parser("job", help="do a queued job", description=text)
    command.add_argument("folder", type=user_path, help="folder of the job, with its job.json")
    command.set_defaults(run=_job, online=True)


def cards_to_show(job: Job) -> str:
    """The cards that the job occupies, as CUDA_VISIBLE_DEVICES names them; "all" if they are all that there are."""
    cards = sorted(int(name.removeprefix("gpu:")) for name in job.resources if name.startswith("gpu:"))
    # A MIG slice has no number: where nothing is to be hidden, what is set stays as it is.
    everything = bool(cards) and cards == sorted(gpu.index for gpu in detect(Path()).gpus)
    return "all" if everything else ",".join(map(str, cards))


def _job(options: argparse.Namespace) -> None:
    folder = JobDir(options.folder.resolve())
    job = folder.read_job()
    with folder.lock():
        if folder.read_state().get("status") != "created":
            raise UserError("job_begun_before", f"The job in {folder.path} was begun before; a job is done once.")
        started = time.time()
        folder.write_state("running", started=started)
        _JobProcess(folder, job, started).go()


class _JobProcess:
    """One job from its first word to its last."""

    def __init__(self, folder: JobDir, job: Job, started: float) -> None:
        self._folder = folder
        self._job = job
        self._started = started
        self._events = EventLog(folder.events_file)

    def go(self) -> None:
        self._events.emit("started", message=self._job.title, pid=os.getpid())
        for number in (signal.SIGINT, signal.SIGTERM):
            # Set anew: who was started in the background of a shell ignores SIGINT.
            signal.signal(number, _stop)
        try:
            result = self._work()
        except (JobStopped, KeyboardInterrupt):
            self._end("stopped", {"message": "stopped as asked"}, {})
        except Exception as error:
            problem = as_user_error(
                error, when_full=["Free some space, then start it again."],
                internal="The log of this job tells more; please report this.",
            )  # fmt: skip
            self._end("failed", problem.fields(), problem.fields())
            raise
        else:
            # Paths become text; what JSON does not know as well.
            plain = json.loads(json.dumps(result, default=str))
            self._end("finished", {"message": "done"}, {"result": plain})

    def _work(self) -> Mapping[str, Any]:
        if self._job.kind not in _ONLINE:
            stay_offline()
        if self._job.kind != "train":
            # Before torch is loaded. A training does it by its setting `gpus`.
            os.environ.update(child_environment(os.environ, cards_to_show(self._job)))
        module, _, name = FUNCTIONS[self._job.kind].partition(":")
        context = JobContext(self._folder)
        context.check()
        function: JobFunction = getattr(importlib.import_module(module), name)
        return function(self._job.spec, context)

    def _end(self, status: Status, told: Mapping[str, Any], kept: Mapping[str, Any]) -> None:
        """The last event and the state, in this order: who sees the end finds all that was told."""
        for number in (signal.SIGINT, signal.SIGTERM):
            # A stop comes too late now; it must not keep the end from being written down.
            signal.signal(number, signal.SIG_IGN)
        # A full disk may still take the state.
        with suppress(OSError):
            self._events.emit(status, **told)
        self._folder.write_state(status, started=self._started, **kept)


def _stop(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
