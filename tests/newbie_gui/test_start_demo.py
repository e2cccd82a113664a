"""The demo's click: one drawing, however often it is clicked."""

from pathlib import Path

from newbie_gui.demo import start_demo
from newbie_gui.services import make_services
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Queue


class WorkerlessQueue(Queue):
    def ensure_worker(self) -> None:
        pass


def test_a_second_click_does_not_draw_into_the_same_folder(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.create()
    services = make_services(workspace, queue=WorkerlessQueue(workspace))
    runs = [start_demo(services, "drawing").name for _ in range(2)]
    kinds = [entry.job.kind for entry in services.queue.entries()]
    assert kinds == ["demo", "train", "train"] and runs == ["nekorin", "nekorin-2"]
