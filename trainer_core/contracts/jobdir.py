"""A job: a folder with what is to be done, and beside it the same state, events, log and requests as a run.

Train, merge, convert, download, Try it, Check fit and counting tokens are all jobs: child processes started by
``python -m trainer_core job FOLDER``. A job of kind "train" leads to a run folder of its own, which tells the rest.
"""

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import write_json_atomic, write_text_atomic
from trainer_core.contracts.rundir import RunDir

Kind = Literal[
    "train", "merge", "convert", "convert_lora", "download", "try", "tokens", "import", "index", "demo", "fit"
]  # fmt: skip
LIGHT = "light"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be done; written once and never changed: a queued job keeps the settings it was queued with.

    Attributes:
        id: name of its folder, made by us: safe in paths, URLs and on a command line.
        title: for people, any text.
        spec: what the kind needs (paths as text); read by the kind's own function (see `cli.job`).
        resources: what it occupies alone: "gpu:0", "cpu", or `LIGHT` for the lane beside a training.
        created: Unix seconds.
    """

    id: str
    kind: Kind
    title: str
    spec: Mapping[str, Any] = field(default_factory=dict)
    resources: tuple[str, ...] = (LIGHT,)
    created: float = 0.0


class JobDir(RunDir):
    """The folder of one job, ``workspace/jobs/ID``."""

    @property
    def job_file(self) -> Path:
        return self.path / "job.json"

    def create_job(self, job: Job, files: Mapping[str, str] = MappingProxyType({})) -> None:
        """Write the job down, with further files by plain name; from then on it can be queued.

        Raises UserError `run_folder_unusable`.
        """
        self._make_folder(self.control)
        try:
            for name, text in files.items():
                write_text_atomic(self.path / name, text)
            self.write_state("created")
            # Last: it makes the folder a job, and whoever looks from then on finds all of it.
            write_json_atomic(self.job_file, asdict(job))
        except OSError as error:
            raise self._unusable(error) from error

    def read_job(self) -> Job:
        """Raises UserError `job_unreadable`."""
        try:
            values = json.loads(self.job_file.read_bytes())
            job = Job(**{**values, "resources": tuple(values["resources"])})
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError("job_unreadable", f"{self.job_file} is not a job: {error}") from error
        if job.kind not in get_args(Kind):
            raise UserError("job_unreadable", f"{self.job_file}: there is no kind of job named {job.kind!r}.")
        return job


def new_job_id() -> str:
    """Sorts by time; unguessable enough to be unique without asking the disk."""
    return f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
