"""A save goes on beside training: what it writes is what was there when it began."""

import threading
from pathlib import Path

import pytest
import torch

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir
from trainer_core.training import saving
from trainer_core.training.checkpoint import Checkpoint, load_checkpoint
from trainer_core.training.export import TrainingFacts
from trainer_core.training.saving import Saver

FACTS = TrainingFacts(step=3, epoch=0, images=1, tag_frequency={}, buckets={}, base_hash="", started_at=0.0)


@pytest.fixture
def saver(tmp_path: Path) -> Saver:
    run = RunDir(tmp_path / "run")
    config = TrainConfig(base_model_path="b", train_data_dir="d", output_dir=str(tmp_path), lora_rank=2)
    run.create(config)
    return Saver(run, config)


def checkpoint() -> Checkpoint:
    adapter = {
        "layers.0.attention.out.lora_A": torch.ones(2, 4, requires_grad=True),
        "layers.0.attention.out.lora_B": torch.ones(4, 2, requires_grad=True),
    }
    optimizer = {"state": {0: {"exp_avg": torch.ones(2, 4)}}, "param_groups": [{"lr": 0.1, "params": [0]}]}
    return Checkpoint(adapter=adapter, optimizer=optimizer, state={"step": 3, "epoch": 0})


def test_what_changes_meanwhile_is_not_written(saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    go, real = threading.Event(), saving.export_adapter

    def held_up(*given: object) -> Path:
        assert go.wait(10)
        return real(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(saving, "export_adapter", held_up)
    made = checkpoint()
    saver.begin(made, FACTS)
    assert saver.collect(wait=False) is None
    with torch.no_grad():
        for tensor in (*made.adapter.values(), made.optimizer["state"][0]["exp_avg"]):
            tensor.zero_()
    go.set()
    saved = saver.collect(wait=True)
    assert saved is not None and saved.step == 3 and saved.export.is_file()
    assert saver.collect(wait=True) is None
    read = load_checkpoint(saved.checkpoint)
    assert all(bool((tensor == 1).all()) for tensor in read.adapter.values())
    assert bool((read.optimizer["state"][0]["exp_avg"] == 1).all()) and read.state["step"] == 3
    saver.close()


def test_what_goes_wrong_is_raised_to_whoever_collects(saver: Saver, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise UserError("disk_full", "no room")

    monkeypatch.setattr(saving, "save_checkpoint", full)
    saver.begin(checkpoint(), FACTS)
    with pytest.raises(UserError, match="no room"):
        saver.collect(wait=True)
    assert saver.collect(wait=True) is None
    saver.close()
