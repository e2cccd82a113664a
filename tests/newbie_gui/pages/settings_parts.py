"""Parts of the tests of the Settings tab: a page's services in a folder, a small data set, a machine with a card."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from newbie_gui.fresh import Fresh
from newbie_gui.pages.ui import Ui
from newbie_gui.services import make_services
from newbie_gui.texts import Lang
from trainer_core.contracts.workspace import Workspace
from trainer_core.planning.hardware import Gpu, Machine

NO_GPU = Machine(memory_total_mib=16_000, memory_free_mib=12_000)


def card(free_gib: float, total_gib: float = 24) -> Machine:
    gpu = Gpu(
        index=0, name="RTX", total_mib=int(total_gib * 1024), free_mib=int(free_gib * 1024), compute_capability=(8, 9)
    )
    return Machine(gpus=(gpu,), memory_total_mib=64_000, memory_free_mib=60_000)


def make_ui(root: Path, machine: Machine = NO_GPU, lang: Lang = "en") -> Ui:
    workspace = Workspace(root / "workspace")
    workspace.create()
    return Ui(lang, make_services(workspace, machine=Fresh(lambda: machine, 2.0)))


def make_dataset(folder: Path, images: int = 3) -> Path:
    folder.mkdir(parents=True)
    for number in range(images):
        Image.new("RGB", (256, 256)).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("1girl, solo", encoding="utf-8")
    return folder


def settled(ask: Callable[[], Any], pending: Callable[[Any], bool]) -> Any:
    """What ``ask`` answers once nothing is pending any more; within ten seconds."""
    deadline = time.monotonic() + 10
    while pending(answer := ask()):
        assert time.monotonic() < deadline, answer
    return answer
