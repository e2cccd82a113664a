"""Tiny runs that can be killed, starved and misled: five pictures of 64 x 64, a step a fifth of a second."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.demo import TINY_BASE
from trainer_core.tools.tiny.world import all_portraits, draw, tag_caption

# What runs and queues have to say is read with the helpers of their own tests.
sys.path += [str(Path(__file__).resolve().parents[1] / name) for name in ("run", "jobs")]

Make = Callable[..., TrainConfig]


def fill(folder: Path, count: int = 4) -> Path:
    """Pictures with captions; one has another shape."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, portrait in enumerate(all_portraits()[100 : 100 + 1600 * count : 1600]):
        image = draw(portrait, number)
        if number == 1:
            image = image.resize((96, 48))
        image.save(folder / f"絵 {number}.png")
        (folder / f"絵 {number}.txt").write_text(tag_caption(portrait), encoding="utf-8")
    return folder


def settings(data: Path, output: Path, name: str, **changed: Any) -> TrainConfig:
    """Eight steps in two epochs, a checkpoint and an export every second one."""
    values: dict[str, Any] = {
        "base_model_path": str(TINY_BASE),
        "train_data_dir": str(data),
        "output_dir": str(output),
        "output_name": name,
        "resolution": 64,
        "num_epochs": 2,
        "save_every_n_steps": 2,
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


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features, for the tests that are not about making them."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def config(data: Path, cache: Path, tmp_path: Path) -> Make:
    def make(name: str = "run", **changed: Any) -> TrainConfig:
        return settings(data, tmp_path, name, **{"cache_dir": str(cache), **changed})

    return make
