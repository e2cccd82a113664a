"""The first visit's one click: a data set drawn on the spot, and a training on the built-in base behind it."""

from dataclasses import dataclass
from pathlib import Path

from newbie_gui.runs.actions import free_name, start
from newbie_gui.services import Services
from trainer_core.contracts.config import TrainConfig, parse_config
from trainer_core.planning.demo import NAME, TINY_BASE, demo_values


@dataclass(frozen=True, kw_only=True)
class Demo:
    """What was queued: the data set's name, and the job that trains."""

    dataset: str
    job_id: str


def start_demo(services: Services, drawing_title: str) -> Demo:
    """Queue the drawing of the pictures, unless they are there already, and the training after it.

    Raises:
        UserError: the workspace cannot be written.
    """
    dataset = f"demo-{NAME}"
    pictures = services.workspace.datasets / dataset
    if not pictures.exists():
        # Takes the place that the training needs: so the training waits for it.
        services.queue.add("demo", drawing_title, {"folder": str(pictures)}, resources=("cpu",))
    config = _config(services, pictures)
    return Demo(dataset=dataset, job_id=start(services.queue, config, services.machine.now()))


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
