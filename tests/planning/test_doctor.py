"""The page: always made, whatever is broken; no secret on it; a run's error with what helps against it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.model.layout_makers import comfy_folder
from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning import doctor
from trainer_core.planning.doctor import Probe, page
from trainer_core.planning.doctor_subject import DataCount

QUICK = Probe(code='print(\'{"torch": "9.9"}\')')
TITLES = ("Program", "Packages", "PyTorch", "Hardware", "Environment", "Preset")


def three(config: TrainConfig) -> DataCount:
    return DataCount(images=3, captionless=1, line="3 images")


def made(
    subject: Path | None = None, *, count: Callable[..., DataCount] = three, probe: Probe = QUICK, **env: str
) -> str:
    return page(subject, count=count, probe=probe, environment=env)


def run_of(folder: Path, **values: Any) -> RunDir:
    run = RunDir(folder / "run")
    run.create(TrainConfig(base_model_path=str(folder), train_data_dir="d", sample_prompts=["secret wish"], **values))
    return run


def test_every_section_is_there():
    text = made(CUDA_HOME="/cuda", HF_TOKEN="hf_secret", HOME="/x")
    assert all(f"== {title} ==" in text for title in TITLES) and "torch: 9.9" in text
    assert "CUDA_HOME=/cuda" in text and "HF_TOKEN=(hidden)" in text and "HOME=/x" not in text.split("CUDA_HOME")[1]


@pytest.mark.parametrize(
    ("probe", "words"),
    [
        (Probe(code="import os; os.abort()"), "ended the process"),
        (Probe(code="import sys; sys.exit('no such library')"), "no such library"),
        (Probe(code="import time; time.sleep(60)", seconds=0.5), "was given up"),
        (Probe(python="/no/such/python"), "this part could not be made: FileNotFoundError"),
    ],
)
def test_a_broken_torch_is_a_line_of_the_page(probe: Probe, words: str):
    text = made(probe=probe)
    assert words in text and "== Preset ==" in text


@pytest.mark.parametrize("broken", ["choose", "detect", "_commit", "_pins"])
def test_a_section_that_fails_takes_no_other_with_it(broken: str, monkeypatch: pytest.MonkeyPatch):
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("boom")

    monkeypatch.setattr(doctor, broken, fail)
    text = made()
    assert "boom" in text and all(f"== {title} ==" in text for title in TITLES)


def test_a_base_in_another_layout_is_not_called_missing(tmp_path: Path):
    base = comfy_folder(tmp_path / "models")
    (tmp_path / "my.toml").write_text(to_toml(TrainConfig(base_model_path=str(base), train_data_dir="d")))
    text = made(tmp_path / "my.toml")
    assert "base: layout comfyui" in text and "NOT THERE" not in text


def test_a_valid_config_is_described(tmp_path: Path):
    (tmp_path / "vae").mkdir()
    config = TrainConfig(base_model_path=str(tmp_path), train_data_dir="d", lora_rank=7, transformer_path="gone.pth")
    (tmp_path / "my.toml").write_text(to_toml(config))
    text = made(tmp_path / "my.toml")
    assert "valid" in text and "data: 3 images" in text and "lora_rank = 7" in text
    assert "NOT THERE: transformer_path: gone.pth does not exist." in text
    assert "vae, 0 MiB, refused: " in text and "vae holds no .safetensors file." in text


@pytest.mark.parametrize("content", ["sede = 1", "\x00", "[[["])
def test_a_bad_config_is_explained(content: str, tmp_path: Path):
    (tmp_path / "my.toml").write_text(content)
    assert "The configuration is not valid" in made(tmp_path / "my.toml")
    assert "cannot be read" in made(tmp_path / "none.toml")


def test_a_run_out_of_memory_gets_the_ladder(tmp_path: Path):
    run = run_of(tmp_path, train_batch_size=4)
    run.write_state("failed", step=5, total_steps=9)
    EventLog(run.events_file).emit("failed", code="out_of_memory", message="The GPU ran out of memory.", hints=["x"])
    text = made(run.path)
    assert "status: failed, step 5 of 9" in text and "- micro_batch_size = 1" in text
    assert "secret wish" not in text and "sample_prompts: 1" in text


def test_an_unforeseen_error_shows_the_end_of_the_log(tmp_path: Path):
    run = run_of(tmp_path)
    EventLog(run.events_file).emit("failed", code="internal", message="KeyError: 3", hints=["report this"])
    run.log_file.write_text("start\n" * 50 + "Traceback hf_AbCdEfGhIjKlMnOpQr\n")
    text = made(run.path)
    assert "- report this" in text and "| Traceback (hidden)" in text and text.count("| start") == 19


def test_a_flat_run_gets_the_published_checks(tmp_path: Path):
    run = run_of(tmp_path)
    log = [{"event": "step", "step": n, "loss": 0.5, "seconds_per_step": 1.0} for n in range(400)]
    run.events_file.write_text("".join(json.dumps(line) + "\n" for line in log))
    run.write_state("running", step=400)
    text = made(run.path)
    assert "the loss does not fall:" in text and "1 of 3 images have none" in text and "speed:" in text


def test_a_run_that_died_is_told_from_one_that_runs(tmp_path: Path):
    run = run_of(tmp_path)
    run.state_file.write_text('{"status": "running", "pid": 999999999, "process_start_time": 1.0}')
    assert "gone without a word" in made(run.path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("state.json", "[1]"),
        ("state.json", '{"status": 7, "pid": "x"}'),
        ("events.jsonl", '{"event": 5, "time": 1e400}\n{"event": "step", "loss": "x"}\n\xff\n'),
        ("events.jsonl", '{"event": "failed", "hints": 3, "time": "x"}\n'),
        ("config.toml", "broken"),
    ],
)
def test_odd_files_in_a_run_folder_are_survived(name: str, content: str, tmp_path: Path):
    run = run_of(tmp_path)
    (run.path / name).write_bytes(content.encode("latin-1"))
    assert "status: " in made(run.path)


def test_a_folder_that_is_no_run_and_data_that_cannot_be_counted(tmp_path: Path):
    assert "no run folder" in made(tmp_path)

    def fail(config: TrainConfig) -> DataCount:
        raise UserError("dataset_missing", "d is not a folder.")

    assert "data: d is not a folder." in made(run_of(tmp_path).path, count=fail)
