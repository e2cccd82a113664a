"""The builder's training stages go on after a kill, to the same bits."""

from pathlib import Path

import pytest
import torch

from trainer_core.tools.tiny import stage
from trainer_core.tools.tiny.stage import Stage, run_stage


def trained(work: Path, die_at: int = -1) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 2)

    def loss(step: int) -> torch.Tensor:
        if step == die_at:
            raise KeyboardInterrupt
        inputs = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return (model(inputs) - inputs[:, :2]).square().mean()

    work.mkdir(exist_ok=True)
    return run_stage(Stage(name="toy", steps=8, learning_rate=0.1, warmup=2, average=0.9), model, loss, work)


def test_a_killed_stage_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SAVE_SECONDS", 0.0)
    whole = trained(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", die_at=5)
    resumed = trained(tmp_path / "killed")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
