"""What the run tests read from run folders."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.contracts.events import read_events
from trainer_core.contracts.rundir import RunDir
from trainer_core.training.checkpoint import newest_checkpoint
from trainer_core.training.run import run_training
from trainer_core.training.stopping import StopSignal

ROOT = Path(__file__).parents[2]


def run_of(config: TrainConfig) -> RunDir:
    return RunDir(Path(config.output_dir) / config.output_name)


def events(config: TrainConfig, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run_of(config).events_file) if event["event"] == kind]


def losses(config: TrainConfig) -> list[float]:
    """Losses of the whole run in step order; asserts that no step is told twice or missing."""
    steps = events(config, "step")
    assert [event["step"] for event in steps] == list(range(1, len(steps) + 1))
    return [event["loss"] for event in steps]


def weights(config: TrainConfig) -> dict[str, torch.Tensor]:
    checkpoint, damaged = newest_checkpoint(run_of(config).checkpoints)
    assert checkpoint is not None and not damaged
    return checkpoint.adapter


def assert_same_run(one: TrainConfig, other: TrainConfig) -> None:
    """Bit-equal losses and weights."""
    assert losses(one) == losses(other)
    mine, theirs = weights(one), weights(other)
    assert mine.keys() == theirs.keys()
    assert [name for name in mine if not torch.equal(mine[name], theirs[name])] == []


def stop_and_go_on(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is stopped after its first step, and then continued to its end."""
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requests", lambda self: {"stop"})
        assert run_training(config) == "stopped"
    assert run_training(config) == "finished"


def config_file(config: TrainConfig) -> Path:
    """The config as a file, beside the run folder."""
    file = Path(config.output_dir) / f"{config.output_name}.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    return file


def start(config: TrainConfig) -> subprocess.Popen[bytes]:
    """The trainer as its own process, as the command line starts it."""
    command = [sys.executable, "-m", "trainer_core", "train", str(config_file(config))]
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})


def wait_for_steps(config: TrainConfig, count: int, process: "subprocess.Popen[bytes] | None" = None) -> None:
    deadline = time.monotonic() + 120
    while len(events(config, "step")) < count:
        assert process is None or process.poll() is None, process.returncode
        assert time.monotonic() < deadline
        time.sleep(0.02)
