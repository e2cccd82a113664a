"""What the web process has once, whatever the number and language of its pages. All of it is derived from disk."""

from dataclasses import dataclass
from pathlib import Path

from newbie_gui.datasets.store import DatasetStore
from newbie_gui.draft import Draft
from newbie_gui.fresh import Fresh
from newbie_gui.remember import Remembered
from newbie_gui.runs.health_watch import HealthWatch
from newbie_gui.runs.store import RunStore
from newbie_gui.strategies import starting_values
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Queue
from trainer_core.planning.hardware import Machine, detect


@dataclass(frozen=True, kw_only=True)
class Services:
    """Made once by `make_services`; safe to use from several threads."""

    workspace: Workspace
    remember: Remembered
    machine: Fresh[Machine]
    queue: Queue
    runs: RunStore
    health: HealthWatch
    draft: Draft
    datasets: DatasetStore

    def run_folder(self, key: str) -> Path | None:
        """The folder of the run with this key, None where there is none."""
        try:
            return self.runs.row(key).folder
        except UserError:
            return None


def make_services(
    workspace: Workspace, *, machine: Fresh[Machine] | None = None, queue: Queue | None = None
) -> Services:
    """The services of a workspace whose folders are made; of this machine and its own queue if no others are given."""
    queue = queue or Queue(workspace)
    # Asking the driver costs milliseconds, and every page asks.
    machine = machine or Fresh(lambda: detect(workspace.root), 2.0)
    draft = Draft(workspace.private / "draft.json")
    return Services(
        workspace=workspace,
        remember=Remembered(workspace.private / "choices.json"),
        machine=machine,
        queue=queue,
        runs=RunStore(workspace, queue),
        health=HealthWatch(),
        draft=draft,
        datasets=DatasetStore(workspace, queue, draft, lambda: starting_values(machine.now())),
    )
