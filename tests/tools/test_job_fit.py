"""The job behind Check fit: its answer is plain data, also where it does not fit."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from job_folder import job_in, told
from PIL import Image

from trainer_core.cli.job import FUNCTIONS
from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.contracts.errors import UserError
from trainer_core.jobs.context import JobContext, JobStopped
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.measured import MeasuredStep
from trainer_core.tools.job_fit import run
from trainer_core.training import fit

FOUND = MeasuredStep(
    key="k", cuda=False, device="CPU with 2 cores", peak=2**20, process=2**29, seconds_per_step=2.0, steps=2,
    images_per_step=1, width=64, height=64, images=1, caption_tokens=9,
)  # fmt: skip


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """A job has a process of its own."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    data = tmp_path / "data"
    data.mkdir()
    Image.new("RGB", (64, 64)).save(data / "a.png")
    made = job_in(tmp_path / "jobs" / "one")
    config = TrainConfig(
        base_model_path=str(TINY_BASE), train_data_dir=str(data), output_dir=str(tmp_path / "out"), resolution=64,
        device="cpu", num_epochs=3, gradient_accumulation_steps=1,
    )  # fmt: skip
    made.folder.config_file.write_text(to_toml(config), encoding="utf-8")
    return made


def test_the_answer_is_plain_data(job: JobContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "_tried", lambda *args, **named: FOUND)
    found = json.loads(json.dumps(run({"cards": 1}, job)))
    assert (found["verdict"], found["measured"]["peak"], found["seconds"]) == ("fits", 2**20, 6.0)
    assert found["needed"] > found["measured"]["peak"] and found["estimated"] > 0 and not found["hints"]
    assert "AdamW8bit needs an NVIDIA GPU" in told(job, "warning")[0]["message"]
    assert "fit" in FUNCTIONS


def test_what_does_not_fit_is_an_answer_too(job: JobContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> Any:
        raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB")

    monkeypatch.setattr(fit, "load_base", full)
    found = json.loads(json.dumps(run({}, job)))
    assert found["verdict"] == "no" and found["measured"] is None and len(found["hints"]) > 1
    assert [event["phase"] for event in told(job, "phase")] == ["checking data", "loading the transformer"]


def test_a_stop_and_a_strange_spec(job: JobContext) -> None:
    with pytest.raises(UserError, match="cards"):
        run({"cards": 0}, job)
    job.folder.request("stop")
    with pytest.raises(JobStopped):
        run({}, job)
