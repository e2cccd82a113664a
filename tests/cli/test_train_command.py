"""`train`: which GPUs are used, and what is said when they cannot be."""

import os
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from PIL import Image

from trainer_core.cli import together, train
from trainer_core.cli.checking import check
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir
from trainer_core.jobs.ranks import RankOutcome
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.hardware import Gpu, Machine


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set, so that what the command sets is taken back."""
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.setenv(name, "")


def count(monkeypatch: pytest.MonkeyPatch, seen: int, **settings: str) -> int:
    """What is used where PyTorch sees that many GPUs."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: seen)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: seen > 0)
    return train.gpu_count(TrainConfig(base_model_path="b", train_data_dir="d", **settings))


@pytest.mark.parametrize(("nccl", "used"), [(True, 2), (False, 1)])
def test_without_nccl_as_on_windows_one_gpu_is_used_and_that_is_said(
    nccl: bool, used: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.distributed, "is_nccl_available", lambda: nccl)
    assert count(monkeypatch, 2) == used
    assert ("one of 2 is used" in capsys.readouterr().out) is not nccl


def test_where_gpus_cannot_be_joined_the_freest_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    cards = tuple(Gpu(index=i, name="x", total_mib=24000, free_mib=free) for i, free in enumerate((9000, 23000)))
    monkeypatch.setattr(train, "detect", lambda path: Machine(gpus=cards, joins_gpus=False))
    assert count(monkeypatch, 1) == 1 and os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_a_gpu_that_is_not_there_is_refused_and_not_replaced_by_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        train, "detect", lambda path: Machine(hidden=(Gpu(index=0, name="x", total_mib=1, free_mib=1),))
    )
    with pytest.raises(UserError, match='gpus = "5" names 1 GPUs; PyTorch finds 0'):
        count(monkeypatch, 0, gpus="5")


@pytest.mark.parametrize(("visible", "refused"), [("", False), ("-1", False), ("0", True)])
def test_without_a_driver_named_gpus_are_refused_unless_all_are_hidden(
    visible: str, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "detect", lambda path: Machine())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count(monkeypatch, 0, gpus="5", device="cpu") == 0
    with pytest.raises(UserError, match='gpus = "5" names 1') if refused else nullcontext():
        assert count(monkeypatch, 0, gpus="5") == 0


def test_check_tells_of_gpus_that_are_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    assert check(TrainConfig(base_model_path=str(TINY_BASE), train_data_dir=str(tmp_path), gpus="91,92")) == 1
    told = capsys.readouterr()
    assert 'gpus = "91,92" names 2 GPUs' in told.err and "1 image, " in told.out


def test_processes_that_were_killed_are_spoken_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def code(*codes: int) -> int:
        monkeypatch.setattr(together, "run_ranks", lambda *_: RankOutcome(codes=codes))
        return together.train_together(Path("a.toml"), RunDir(tmp_path), 2)

    assert code(-9, -15) == 137 and "killed (signal 9)" in capsys.readouterr().err
    assert code(-15, 1) == 1 and not capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_last_word_that_nobody_can_hear_is_no_failure(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("base_model_path = 'b'\ntrain_data_dir = 'd'\ndevice = 'cpu'\n", encoding="utf-8")
    code = (
        "import sys, trainer_core.training.run as run\nfrom trainer_core.cli import main\n"
        f"run.run_training = lambda config: 'finished'\nsys.exit(main(['train', {str(config)!r}]))"
    )
    with open("/dev/full", "w") as output:
        done = subprocess.run([sys.executable, "-c", code], stdout=output, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
