from dataclasses import dataclass
from pathlib import Path

import pytest

from trainer_core.contracts.jobdir import Job, JobDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.dataset.buckets import BucketPlan
from trainer_core.dataset.dataset_index import DatasetIndex, Picture, Snapshot
from trainer_core.dataset.filters import DatasetView, view_of
from trainer_core.dataset.index_file import IndexPlaces
from trainer_core.dataset.indexing import update_index
from trainer_core.jobs.context import JobContext


@dataclass(frozen=True)
class Desk:
    """A workspace with one data set named "cats" and a job at work."""

    workspace: Workspace
    folder: Path
    job: JobContext

    @property
    def places(self) -> IndexPlaces:
        return IndexPlaces(self.workspace, self.folder)

    def index(self) -> Snapshot:
        """The data set after an index job."""
        update_index(self.folder, self.places, self.job)
        return self.look()

    def look(self) -> Snapshot:
        return DatasetIndex(self.folder, self.places).snapshot()

    def view(self, resolution: int = 64) -> DatasetView:
        plan = BucketPlan(resolution, step=16, smallest=resolution // 2, largest=resolution * 2)
        return view_of(self.look(), plan)

    def picture(self, relative: str) -> Picture:
        return self.look().by_path[relative]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    workspace = Workspace(tmp_path / "workspace")
    workspace.create()
    folder = workspace.datasets / "cats"
    folder.mkdir()
    job = JobDir(workspace.jobs / "1")
    job.create_job(Job(id="1", kind="index", title="cats"))
    return Desk(workspace, folder, JobContext(job))
