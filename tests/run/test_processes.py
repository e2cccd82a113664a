"""Several processes on one run: the same bits as one process with the accumulation of all of them."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from forked_ranks import failing_in_rank_1, forked
from runs import ROOT, assert_same_run, config_file, events, run_of, wait_for_steps

from trainer_core.contracts.config import TrainConfig
from trainer_core.jobs.ranks import repository_python, run_ranks
from trainer_core.training.run import run_training

Make = Callable[..., TrainConfig]
# Long enough that a stop and a kill come in the middle of it.
SETTINGS: dict[str, Any] = {"num_epochs": 4, "validation_split": 0.2, "save_every_n_steps": 3}
# The number of threads decides the order of sums inside an operation.
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture
def alone(config: Make) -> Iterator[TrainConfig]:
    """Undisturbed, in one process, with accumulation 2; the last step of an epoch is incomplete."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = config("alone", gradient_accumulation_steps=2, **SETTINGS)
    run_training(made)
    yield made
    torch.set_num_threads(threads)


def test_37_two_processes_equal_one_with_accumulation_also_after_a_stop_and_a_kill(
    config: Make, alone: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config("together", gradient_accumulation_steps=1, **SETTINGS)
    script = [str(ROOT / "train_newbie_lora.py"), "--config_file", str(config_file(made))]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    process = subprocess.Popen([*torchrun, *script], cwd=ROOT, env=ENVIRONMENT)
    wait_for_steps(made, 2, process)
    run_of(made).request("stop")
    assert process.wait(180) == 0 and run_of(made).status() == "stopped"

    command = repository_python(["train", str(run_of(made).path)])
    killer = threading.Thread(target=kill_main_after, args=(made, 5))
    killer.start()
    with monkeypatch.context() as patch:
        forked(patch, tmp_path / "printed.log")
        outcome = run_ranks(command, 2, ENVIRONMENT)
    killer.join()
    assert len(outcome.codes) == 2 and outcome.code != 0 and run_of(made).status() == "failed"

    with monkeypatch.context() as patch:
        forked(patch, tmp_path / "printed.log")
        assert run_ranks(command, 2, ENVIRONMENT).codes == (0, 0)
    assert [event["processes"] for event in events(made, "started")] == [2, 2, 2]
    assert_same_run(made, alone)
    assert events(made, "validation")[-1]["loss"] == events(alone, "validation")[-1]["loss"]


def kill_main_after(config: TrainConfig, steps: int) -> None:
    wait_for_steps(config, steps)
    os.kill(run_of(config).read_state()["pid"], signal.SIGKILL)


def test_a_failure_of_any_process_is_told_and_ends_all(
    config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config("failing", gradient_accumulation_steps=1)
    forked(monkeypatch, tmp_path / "printed.log", failing_in_rank_1)
    outcome = run_ranks(repository_python(["train", str(config_file(made))]), 2, ENVIRONMENT)
    assert outcome.codes[1] == 1 and outcome.code == 1
    assert run_of(made).status() == "failed"
    failed = events(made, "failed")[-1]
    assert failed["rank"] == 1 and "no memory in this process" in failed["message"]
