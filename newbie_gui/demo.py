"""The first visit's one click: a data set drawn on the spot, and a training on the built-in base behind it."""

from pathlib import Path

from newbie_gui.runs.actions import free_name, start
from newbie_gui.services import Services
from trainer_core.contracts.config import TrainConfig, parse_config
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.demo import NAME, TINY_BASE, demo_values


def start_demo(services: Services, drawing_title: str) -> Path:
    """Queue the drawing of the pictures, unless they are there or coming already, and the training after it.

    Returns the folder of the coming run.

    Raises:
        UserError: the workspace cannot be written.
    """
    pictures = services.workspace.datasets / f"demo-{NAME}"
    if not pictures.exists() and not _coming(services, pictures):
        # Takes the place that the training needs: so the training waits for it.
        services.queue.add("demo", drawing_title, {"folder": str(pictures)}, resources=("cpu",))
    config = _config(services, pictures)
    start(services.queue, config, services.machine.now())
    services.runs.forget_list()
    return RunDir.of(config).path


def _coming(services: Services, pictures: Path) -> bool:
    """Whether a drawing of an earlier click has not ended."""
    drawings = [entry for entry in services.queue.entries() if entry.active and entry.job.kind == "demo"]
    return any(entry.job.spec.get("folder") == str(pictures) for entry in drawings)


def _config(services: Services, data: Path) -> TrainConfig:
    workspace = services.workspace
    places = {
        "base_model_path": str(TINY_BASE),
        "train_data_dir": str(data),
        "output_dir": str(workspace.output),
        "cache_dir": str(workspace.cache),
    }
    config = parse_config({**demo_values(), **places})
    taken = (workspace.output / config.output_name).exists() or any(
        row.name == config.output_name for row in services.runs.rows()
    )
    if not taken:
        return config
    return parse_config({**vars(config), "output_name": free_name(config, services.runs.rows())})
