"""Tiny runs that can be killed, starved and misled: four pictures of 64 x 64, a step a fifth of a second."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import fill, settings

from trainer_core.contracts.config import TrainConfig

# What runs, queues and the app have to say is read with the helpers of their own tests.
sys.path += [str(Path(__file__).resolve().parents[1] / name) for name in ("run", "jobs", "gui")]

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
