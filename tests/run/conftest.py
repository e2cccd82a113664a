"""Small real runs on the built-in base."""

import shutil
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import AcceleratorState
from PIL import Image

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.demo import TINY_BASE
from trainer_core.tools.tiny.world import all_portraits, draw, tag_caption
from trainer_core.training.run import run_training

# Trainers that start at once serve here as well.
sys.path.append(str(Path(__file__).resolve().parents[1] / "faults"))

Make = Callable[..., TrainConfig]


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five pictures in two shapes, one folder of them repeated twice: 7 batches of 1 an epoch."""
    root = tmp_path_factory.mktemp("data")
    for number, portrait in enumerate(all_portraits()[100:8000:1600]):
        folder = root / ("2_twice" if number < 2 else "plain set")
        folder.mkdir(exist_ok=True)
        image = draw(portrait, number)
        if number == 4:
            image = image.resize((192, 96), Image.Resampling.BILINEAR)
        image.save(folder / f"絵 {number}.png")
        (folder / f"絵 {number}.txt").write_text(tag_caption(portrait), encoding="utf-8")
    return root


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def config_in(data: Path, cache: Path) -> Callable[..., TrainConfig]:
    """A run of 8 steps in 2 epochs (accumulation 2, so each epoch ends in an incomplete group) in the given folder."""

    def make(folder: Path, name: str = "run", **changed: Any) -> TrainConfig:
        values: dict[str, Any] = {
            "base_model_path": str(TINY_BASE),
            "train_data_dir": str(data),
            "output_dir": str(folder),
            "output_name": name,
            "cache_dir": str(cache),
            "resolution": 128,
            "gradient_accumulation_steps": 2,
            "num_epochs": 2,
            "learning_rate": 1e-3,
            "lr_warmup_steps": 2,
            "optimizer_type": "AdamW",
            "mixed_precision": "no",
            "device": "cpu",
            "lora_rank": 4,
            "lora_alpha": 4.0,
            "lora_dropout": 0.1,
            "caption_dropout_rate": 0.3,
            "shuffle_caption": True,
            "caption_variants": 2,
        }
        return TrainConfig(**(values | changed))

    return make


@pytest.fixture
def config(config_in: Make, tmp_path: Path) -> Make:
    """A run of `config_in` in a folder of the test's own."""
    return partial(config_in, tmp_path)


@pytest.fixture(scope="session")
def finished(config_in: Make, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """`config(num_epochs=1)`, trained once for all that compare with it or read its files: they change none of them."""
    made = config_in(tmp_path_factory.mktemp("finished"), num_epochs=1)
    assert run_training(made) == "finished"
    forget_accelerate()
    return made


@pytest.fixture
def finished_copy(finished: TrainConfig, config: Make) -> TrainConfig:
    """The same run in the test's own folder, to go on from."""
    shutil.copytree(finished.output_dir, config().output_dir, dirs_exist_ok=True)
    return config(num_epochs=1)


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    yield
    forget_accelerate()


def forget_accelerate() -> None:
    """It remembers a process's precision and device for good; a run normally has a process of its own."""
    AcceleratorState._reset_state(reset_partial_state=True)
