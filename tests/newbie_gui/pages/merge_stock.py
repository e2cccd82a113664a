"""A workspace with LoRAs for the built-in base, made without torch."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from trainer_core.contracts.config import parse_config
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.planning.demo import demo_values

MODULE = "diffusion_model.layers.0.attention.out"
TINY = Path(__file__).parents[3] / "assets" / "newbie-tiny"


def workspace_in(folder: Path) -> Workspace:
    workspace = Workspace(folder / "工作区")
    workspace.create()
    return workspace


def write_lora(file: Path, *, width: int = 8, dora: bool = False, metadata: dict[str, str] | None = None) -> Path:
    """``width``: of the layer it is for; 192 in the built-in base."""
    tensors = {f"{MODULE}.lora_down.weight": np.ones((2, width), np.float32)}
    tensors[f"{MODULE}.lora_up.weight"] = np.ones((width, 2), np.float32)
    if dora:
        tensors[f"{MODULE}.dora_scale"] = np.ones((width, 1), np.float32)
    save_file(tensors, file, metadata)
    return file


def write_lokr(file: Path) -> Path:
    save_file({f"{MODULE}.lokr_w{number}": np.ones((2, 2), np.float32) for number in (1, 2)}, file)
    return file


def run_with_exports(workspace: Workspace, name: str, steps: list[int]) -> Path:
    """Its exports folder."""
    paths = {"base_model_path": str(TINY), "train_data_dir": "data", "output_dir": str(workspace.output)}
    run = RunDir(workspace.output / name)
    run.create(parse_config({**demo_values(), **paths, "output_name": name}))
    for step in steps:
        write_lora(run.exports / f"{name}-step-{step:08d}.safetensors")
    return run.exports
