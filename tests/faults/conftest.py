"""Tiny runs that can be killed, starved and misled: four pictures of 64 x 64, a step a fifth of a second."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import fill, settings
from warm import finish, launch

from trainer_core.contracts.config import TrainConfig, to_toml

# What runs, queues and the app have to say is read with the helpers of their own tests.
sys.path += [str(Path(__file__).resolve().parents[1] / name) for name in ("run", "jobs", "gui", "security")]

Make = Callable[..., TrainConfig]


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


@pytest.fixture(scope="session")
def left_alone(data: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """The run that nobody disturbed, to compare others with."""
    folder = tmp_path_factory.mktemp("alone")
    made = settings(data, folder, "left-alone", cache_dir=str(cache))
    (folder / "config.toml").write_text(to_toml(made), encoding="utf-8")
    assert finish(launch(["train", str(folder / "config.toml")], folder / "printed.log")) == 0
    return made
