"""Several processes that our own launcher started and one of which runs out of memory: all go on with less."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from forked_ranks import forked, small_device_in_rank_1
from runs import config_file, events, losses, run_of

from trainer_core.cli import job_train, together, train
from trainer_core.contracts.config import TrainConfig, load_config, to_toml
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.jobdir import Job, JobDir
from trainer_core.jobs.context import JobContext, JobStopped
from trainer_core.jobs.ranks import RankOutcome, SignalRelay
from trainer_core.model import fused
from trainer_core.planning.base import read_base
from trainer_core.planning.phases import swapped_bytes
from trainer_core.training import distributed, failures, out_of_memory
from trainer_core.training import run as training_run
from trainer_core.training.out_of_memory import next_rung, take_next_rung
from trainer_core.training.run import run_training

Make = Callable[..., TrainConfig]
Patch = pytest.MonkeyPatch
Life = Callable[[SignalRelay], RankOutcome]


@pytest.fixture
def small(tmp_path: Path, monkeypatch: Patch) -> None:
    forked(monkeypatch, tmp_path / "printed.log", small_device_in_rank_1)


@pytest.mark.usefixtures("small")
def test_out_of_memory_in_any_process_all_go_on_from_the_checkpoint_with_less(config: Make) -> None:
    settings: dict[str, Any] = {"gradient_checkpointing": False, "max_train_steps": 4, "save_every_n_steps": 2}
    alone = config("alone", gradient_accumulation_steps=2, **settings)
    run_training(alone)
    made = config("together", gradient_accumulation_steps=1, **settings)
    file = config_file(made)
    assert together.train_together(file, run_of(made), 2) == 0
    assert run_of(made).status() == "finished" and losses(made) == pytest.approx(losses(alone), rel=1e-6)
    [failed], [told] = events(made, "failed"), [event for event in events(made, "warning") if "settings" in event]
    assert (failed["rank"], failed["code"], failed["place"]) == (1, "out_of_memory", "training")
    assert told["settings"] == {"gradient_checkpointing": True}
    assert "while training. The run goes on from its checkpoint of step 2" in told["message"]
    assert [event["processes"] for event in events(made, "started")] == [2, 2]
    assert load_config(run_of(made).config_file).gradient_checkpointing and load_config(file) == made
    assert job_train._told_by(run_of(made), since=0.0) is None


@pytest.fixture
def unjoined(monkeypatch: Patch) -> None:
    """One of two processes, whose port is taken."""

    def refuse(**given: Any) -> None:
        raise RuntimeError("The server socket has failed to listen.\nport: 29500, EADDRINUSE")

    monkeypatch.setattr(distributed, "Accelerator", refuse)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")


@pytest.mark.usefixtures("unjoined")
def test_processes_that_do_not_find_each_other_are_written_down(config: Make) -> None:
    made = config()
    with pytest.raises(UserError, match="cannot be joined: The server socket .* port: 29500") as caught:
        run_training(made)
    state, [failed] = run_of(made).read_state(), events(made, "failed")
    assert caught.value.code == failed["code"] == state["code"] == "processes_unavailable"
    assert (state["status"], failed["rank"]) == ("failed", 1) and "gpus" in failed["hints"][0]


@pytest.mark.usefixtures("unjoined")
def test_the_run_of_another_trainer_is_left_alone(config: Make) -> None:
    made = config()
    with run_of(made).lock(), pytest.raises(UserError, match="cannot be joined"):
        run_training(made)
    assert not run_of(made).state_file.exists()


@pytest.mark.usefixtures("unjoined")
def test_a_process_that_failed_before_is_the_cause(config: Make, monkeypatch: Patch) -> None:
    made = config()

    def refuse(**given: Any) -> None:
        EventLog(run_of(made).events_file).emit("failed", code="out_of_memory", message="full")
        raise RuntimeError("Connection reset by peer")

    run_of(made).create(made)
    monkeypatch.setattr(distributed, "Accelerator", refuse)
    with pytest.raises(UserError, match="^full$"):
        run_training(made)


def test_nccl_does_without_what_accelerate_would_refuse(monkeypatch: Patch) -> None:
    for supported, wanted in ((True, {}), (False, {"NCCL_P2P_DISABLE": "0", "NCCL_IB_DISABLE": "1"})):
        monkeypatch.setattr(distributed, "check_cuda_p2p_ib_support", lambda supported=supported: supported)
        environment = {} if supported else {"NCCL_P2P_DISABLE": "0"}
        distributed._limit_nccl(environment)
        assert environment == wanted


def test_who_starts_the_processes_takes_no_memory_of_a_card(config: Make, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for module, name in ((torch.cuda, "set_device"), (torch.cuda, "get_device_capability"), (fused, "_trial")):
        monkeypatch.setattr(module, name, lambda *given: pytest.fail("a card was opened"))
    made = config(device="auto", optimizer_type="AdamW8bit", train_batch_size=2)
    run_of(made).create(made)
    assert take_next_rung(run_of(made), "training", 2)
    assert load_config(run_of(made).config_file).micro_batch_size == 1


@pytest.mark.usefixtures("small")
def test_where_nothing_is_left_the_user_is_asked(config: Make) -> None:
    made = config(quantize_base="nf4", max_train_steps=1)
    assert together.train_together(config_file(made), run_of(made), 2) == 1
    state, told = run_of(made).read_state(), job_train._told_by(run_of(made), since=0.0)
    assert told is not None and (state["status"], state["code"]) == ("failed", told.code) == ("failed", "out_of_memory")
    assert "2.00 GiB" in state["message"] == told.message and any("quantize_gemma" in hint for hint in told.hints)
    assert len(events(made, "started")) == 1 and load_config(run_of(made).config_file) == made


class Lives:
    """Stands in for `run_ranks`: one life of the run after the other; keeps what each was started by."""

    def __init__(self, *lives: Life) -> None:
        self.sources: list[str] = []
        self._lives = list(lives)

    def __call__(self, command: list[str], count: int, environment: object, stops: SignalRelay) -> RankOutcome:
        self.sources.append(command[-1])
        return self._lives.pop(0)(stops)


@pytest.fixture
def lived(config: Make, monkeypatch: Patch) -> Callable[..., tuple[TrainConfig, int, Lives]]:
    """Lives of a run that could do with a smaller batch, as its launcher sees them: config, exit code, starts."""

    def live(*lives: Callable[[TrainConfig], Life], **settings: Any) -> tuple[TrainConfig, int, Lives]:
        made = config(train_batch_size=2, gradient_accumulation_steps=1, **settings)
        run_of(made).create(made)
        played = Lives(*(life(made) for life in lives))
        monkeypatch.setattr(together, "run_ranks", played)
        return made, together.train_together(config_file(made), run_of(made), 2), played

    return live


Lived = Callable[..., tuple[TrainConfig, int, Lives]]


def failing(*, code: str = "out_of_memory", then: Callable[[TrainConfig], object] = lambda made: None) -> Any:
    """Rank 1 fails while training, the other one with it; and something happens before both are gone."""

    def life(made: TrainConfig) -> Life:
        def live(stops: SignalRelay) -> RankOutcome:
            fields: dict[str, Any] = {"code": code, "message": f"{code}!", "hints": ["Do this."]}
            run_of(made).write_state("failed", **fields)
            EventLog(run_of(made).events_file).emit("failed", **fields, place="training", rank=1)
            then(made)
            return RankOutcome(codes=(-15, 1))

        return live

    return life


def ended(*codes: int, asked: bool = False) -> Any:
    """Ended before they opened the run."""

    def live(stops: SignalRelay) -> RankOutcome:
        if asked:
            os.kill(os.getpid(), signal.SIGTERM)
        return RankOutcome(codes=codes)

    return lambda made: live


@pytest.mark.parametrize(
    "ask",
    [
        lambda made: os.kill(os.getpid(), signal.SIGTERM),
        lambda made: os.kill(os.getpid(), signal.SIGINT),
        lambda made: run_of(made).request("stop"),
        lambda made: (run_of(made).request("stop"), run_of(made).take_requests()),
    ],
    ids=["SIGTERM", "SIGINT", "asked", "asked and taken"],
)
def test_a_stop_between_two_starts_ends_it(ask: Callable[[TrainConfig], object], lived: Lived) -> None:
    made, code, starts = lived(failing(then=ask))
    assert code == 0 and run_of(made).status() == "stopped" and len(starts.sources) == 1
    # What is started next has less already.
    assert load_config(run_of(made).config_file).micro_batch_size == 1 and events(made, "stopped")


def test_a_stop_while_they_start_again_ends_it(lived: Lived) -> None:
    made, code, starts = lived(failing(), ended(-15, -15, asked=True))
    assert code == 0 and run_of(made).status() == "stopped"
    assert starts.sources == [str(config_file(made)), str(run_of(made).path)]


def test_a_run_that_does_not_open_again_has_failed(lived: Lived, capsys: pytest.CaptureFixture[str]) -> None:
    made, code, _ = lived(failing(), ended(-9, -15))
    assert code == 137 and "killed (signal 9)" in capsys.readouterr().err
    assert run_of(made).status() == "failed" and "could not be started again" in run_of(made).read_state()["message"]


def test_what_it_failed_of_at_last_is_told(lived: Lived) -> None:
    made, code, starts = lived(failing(), failing(code="disk_full"))
    told = job_train._told_by(run_of(made), since=0.0)
    assert code == 1 and told is not None and told.code == run_of(made).read_state()["code"] == "disk_full"
    assert len(starts.sources) == 2


def test_progress_that_was_written_over_the_cause_does_not_hide_it(lived: Lived) -> None:
    made, code, _ = lived(failing(then=lambda made: run_of(made).write_state("running")), recover_from_oom=False)
    state = run_of(made).read_state()
    assert code == 1 and (state["status"], state["code"]) == ("failed", "out_of_memory") and state["hints"]


def test_in_a_process_that_lost_the_connection_neither(config: Make) -> None:
    made = config()
    run_of(made).create(made)
    failing(then=lambda made: run_of(made).write_state("running"))(made)(SignalRelay())
    assert failures.failure_elsewhere(run_of(made), since=2e10) is None
    cause = failures.failure_elsewhere(run_of(made), since=0.0)
    assert cause is not None and cause.code == run_of(made).read_state()["code"] == "out_of_memory"
    assert [*cause.hints] == run_of(made).read_state()["hints"] == ["Do this."]


def test_what_is_asked_while_they_start_again_is_not_forgotten(config: Make, monkeypatch: Patch) -> None:
    made = config()
    for parent, outcome in ((os.getpid(), "stopped"), (os.getppid(), "finished")):
        monkeypatch.setattr(os, "getppid", lambda parent=parent: parent)
        run_of(made).create(made)
        run_of(made).write_state("running")
        run_of(made).request("stop")
        assert run_training(made) == outcome


def test_a_stop_asked_of_the_job_between_two_starts_reaches_the_run(
    config: Make, monkeypatch: Patch, tmp_path: Path
) -> None:
    folder, made = JobDir(tmp_path / "job"), config(train_batch_size=2, gradient_accumulation_steps=1)
    folder.create_job(Job(id="job", kind="train", title="a run", resources=("cpu",)))
    folder.config_file.write_text(to_toml(made), encoding="utf-8")
    run_of(made).create(made)

    def stopping(stops: SignalRelay) -> RankOutcome:
        while not run_of(made).stop_wanted():
            time.sleep(0.02)
        run_of(made).write_state("stopped")
        return RankOutcome(codes=(0, 0))

    monkeypatch.setattr(train, "gpu_count", lambda config: 2)
    first = failing(then=lambda made: folder.request("stop"))(made)
    monkeypatch.setattr(together, "run_ranks", Lives(first, stopping))
    with pytest.raises(JobStopped):
        job_train.run({}, JobContext(folder))
    # What the user queued stays as it was.
    assert run_of(made).status() == "stopped" and load_config(folder.config_file) == made


def test_what_another_launcher_started_is_its_own_to_start_again(config: Make, monkeypatch: Patch) -> None:
    def full(config: TrainConfig) -> str:
        raise UserError("out_of_memory", "The GPU ran out of memory.")

    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setattr(training_run, "run_training", full)
    monkeypatch.setattr(together, "run_ranks", Lives())
    with pytest.raises(UserError, match="ran out of memory"):
        train.train(config_file(config()))


def test_each_process_needs_room_for_blocks_of_its_own(config: Make, monkeypatch: Patch) -> None:
    spent = config(device="auto", quantize_base="nf4")
    one = swapped_bytes(replace(spent, swap_blocks=6), read_base(spent).transformer).host
    room = SimpleNamespace(free=out_of_memory._HOST_SPARE + one * 3 // 2)
    monkeypatch.setattr(out_of_memory, "main_memory", lambda: room)
    found = [next_rung(spent, "training", begun=True, processes=count) is not None for count in (1, 2)]
    assert found == [True, False]
