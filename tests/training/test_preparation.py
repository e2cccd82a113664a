"""What is said of the data before anything is encoded."""

from pathlib import Path
from typing import Any

from PIL import Image

from trainer_core.contracts.config import TrainConfig
from trainer_core.training.preparation import Preparation


def test_images_that_lose_most_of_themselves_are_named(tmp_path: Path) -> None:
    Image.new("RGB", (900, 90)).save(tmp_path / "long.png")
    said: list[str] = []
    config = TrainConfig(base_model_path="b", train_data_dir=str(tmp_path), resolution=256)
    unused: Any = None
    Preparation(config, unused, unused, stop=unused, report=unused, warn=said.append)._items()
    assert said[-1] == "1 of 1 images lose more than half of their area to cropping: long.png."
