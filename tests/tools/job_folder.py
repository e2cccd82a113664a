"""A job's folder without a queue: what a kind's function is given."""

from pathlib import Path
from typing import Any

from trainer_core.contracts.events import read_events
from trainer_core.contracts.jobdir import Job, JobDir
from trainer_core.jobs.context import JobContext


def job_in(folder: Path) -> JobContext:
    place = JobDir(folder)
    place.create_job(Job(id=folder.name, kind="merge", title=""))
    return JobContext(place)


def told(job: JobContext, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(job.folder.events_file) if event["event"] == kind]
