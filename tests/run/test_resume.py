"""Stop anywhere and go on: the same bits as a run that was left alone."""

import os
import signal
from collections.abc import Callable

import pytest
from runs import assert_same_run, losses, run_of, start, wait_for_steps

from trainer_core.contracts.checkpoints import complete_checkpoints, step_of
from trainer_core.contracts.config import TrainConfig
from trainer_core.training.run import run_training
from trainer_core.training.stopping import StopSignal

Make = Callable[..., TrainConfig]


@pytest.fixture(scope="module")
def undisturbed(config_in: Make, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    made = config_in(tmp_path_factory.mktemp("undisturbed"))
    assert run_training(made) == "finished"
    return made


def test_36_resume_at_every_single_step(
    config: Make, undisturbed: TrainConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config("often")
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requests", lambda self: {"stop"})
        *outcomes, last = [run_training(made) for _ in losses(undisturbed)]
    assert outcomes == ["stopped"] * len(outcomes) and last == "finished"
    assert run_training(made) == "already finished"
    assert_same_run(made, undisturbed)


@pytest.mark.parametrize("before", [lambda *_: None, signal.SIG_IGN], ids=["", "nohup"])
def test_a_closed_terminal_saves_and_stops(
    config: Make, before: "signal._HANDLER", monkeypatch: pytest.MonkeyPatch
) -> None:
    made, look, shell = config("closed", max_train_steps=2), StopSignal.requests, signal.signal(signal.SIGHUP, before)

    def hang_up_twice(self: StopSignal) -> set[str]:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
        return look(self)

    monkeypatch.setattr(StopSignal, "requests", hang_up_twice)
    try:
        assert run_training(made) == ("finished" if before == signal.SIG_IGN else "stopped")
        assert signal.getsignal(signal.SIGHUP) == before
    finally:
        signal.signal(signal.SIGHUP, shell)
    assert [step_of(folder) for folder in complete_checkpoints(run_of(made).checkpoints)] == [len(losses(made))]


@pytest.mark.slow
def test_sigkill_and_sigterm_lose_nothing(config: Make) -> None:
    """Killed mid-epoch, continued, ended by SIGTERM, continued: equal to a run left alone."""
    settings = {"num_epochs": 6, "save_every_n_steps": 3, "save_epochs_interval": 100}
    made = config("killed", **settings)
    process = start(made)
    wait_for_steps(made, 4, process)
    process.kill()
    process.wait()
    assert run_of(made).interrupted()
    process = start(made)
    wait_for_steps(made, 6, process)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert run_of(made).status() in ("stopped", "finished")
    assert run_training(made) in ("finished", "already finished")
    left_alone = config("left-alone", **settings)
    run_training(left_alone)
    assert_same_run(made, left_alone)
