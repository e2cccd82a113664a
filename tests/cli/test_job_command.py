"""`job`: which cards a job sees, which function does its work, what becomes of an unknown error."""

import importlib.util
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from trainer_core.cli import job, job_train, main
from trainer_core.contracts.config import TrainConfig, load_config, to_toml
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import EventLog, read_events
from trainer_core.contracts.jobdir import Job, JobDir, Kind
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.hardware import Gpu, Machine

CARDS = Machine(gpus=tuple(Gpu(index=number, name="x", total_mib=1, free_mib=1) for number in (0, 2, 5)))


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """`job` sets them for the rest of its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def made(tmp_path: Path, kind: Kind, *resources: str) -> JobDir:
    folder = JobDir(tmp_path / "20260101-000000-abcdef")
    folder.create_job(Job(id=folder.path.name, kind=kind, title="a job", resources=resources))
    return folder


@pytest.mark.parametrize(
    ("resources", "shown"),
    [(("gpu:5",), "5"), (("gpu:5", "gpu:0"), "0,5"), (("gpu:0", "gpu:2", "gpu:5"), "all"), (("light",), "")],
)
def test_a_job_sees_the_cards_it_occupies(
    resources: tuple[str, ...], shown: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "detect", lambda path: CARDS)
    assert job.cards_to_show(made(tmp_path, "merge", *resources).read_job()) == shown


def test_a_training_on_all_cards_gets_those_of_its_lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "detect", lambda path: CARDS)
    folder = made(tmp_path, "train", "gpu:2")
    for asked, given in (("all", "2"), ("0", "0")):
        config = TrainConfig(base_model_path="b", train_data_dir="d", gpus=asked)
        folder.config_file.write_text(to_toml(config), encoding="utf-8")
        job_train._name_cards(folder)
        assert load_config(folder.config_file).gpus == given


def test_every_kind_has_its_function() -> None:
    assert set(job.FUNCTIONS) == set(get_args(Kind))
    assert importlib.util.find_spec(job.FUNCTIONS["train"].partition(":")[0])


def test_an_unknown_error_is_written_down_and_its_trace_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = made(tmp_path, "train")
    monkeypatch.setattr(job_train, "run", lambda spec, context: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["job", str(folder.path)])
    state = folder.read_state()
    assert (state["status"], state["code"]) == ("failed", "internal") and "ZeroDivisionError" in state["message"]
    assert read_events(folder.events_file)[-1]["hints"] == state["hints"]


def test_a_training_without_a_good_config_says_what_is_wrong(tmp_path: Path) -> None:
    folder = made(tmp_path, "train")
    folder.config_file.write_text("lora_rank = 0\n", encoding="utf-8")
    assert main(["job", str(folder.path)]) == 2
    assert folder.read_state()["code"] == "config_invalid" and "lora_rank" in folder.read_state()["message"]


def test_of_several_processes_the_run_or_the_log_tells_why_they_failed(tmp_path: Path) -> None:
    folder, run = made(tmp_path, "train"), RunDir(tmp_path)
    EventLog(run.events_file).emit("failed", code="no", message="No.", hints=["Yes?"])
    told = job_train._told_by(run, since=0.0)
    assert isinstance(told, UserError) and (told.code, told.message, told.hints) == ("no", "No.", ("Yes?",))
    assert job_train._told_by(run, since=2e10) is None
    for before in ("loading\n", ""):
        folder.log_file.write_text(f"{before}error: Too few.\n  - Add more.\n", encoding="utf-8")
        printed = job_train._printed(folder)
        assert printed is not None and (printed.message, printed.hints) == ("Too few.", ("Add more.",))


def test_what_is_asked_of_the_job_waits_until_the_run_is_ours(tmp_path: Path) -> None:
    """A run forgets what was asked before it began, and one of another process is none of our business."""
    folder, run = made(tmp_path, "train"), RunDir(tmp_path / "run")
    run.control.mkdir(parents=True)
    with job_train._requests_passed_on(folder, run):
        folder.request("stop")
        while not folder.stop_announced():
            time.sleep(0.01)
        time.sleep(0.3)
        assert run.take_requests() == set()
        run.write_state("running")
        while not (taken := run.take_requests()):
            time.sleep(0.01)
    assert taken == {"stop"}


def test_a_training_that_was_stopped_is_a_stopped_job_with_its_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, run = made(tmp_path, "train"), RunDir(tmp_path / "run")
    config = TrainConfig(base_model_path="b", train_data_dir="d", output_dir=str(tmp_path), output_name="run")
    folder.config_file.write_text(to_toml(config), encoding="utf-8")

    def stops(path: Path) -> int:
        run.create(config)
        run.write_state("stopped", step=7, total_steps=9)
        return 0

    monkeypatch.setattr(job_train, "train", stops)
    assert main(["job", str(folder.path)]) == 0
    state = folder.read_state()
    assert (state["status"], state["step"], state["total_steps"]) == ("stopped", 7, 9)
