"""Answers of Check fit: what they are found by, what becomes of the oldest and of damaged ones, what they correct."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import Bucket, DataFacts
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning import measured
from trainer_core.planning.base import BaseSizes
from trainer_core.planning.estimate import estimate, work_of
from trainer_core.planning.gpu_choice import device_name, uses_gpu
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.measured import MeasuredStep, find, fit_key, keep
from trainer_core.planning.shapes import Dimensions

GIB = 2**30
DATA = DataFacts(
    buckets=(Bucket(width=1024, height=1024, images=8, shown=8), Bucket(width=512, height=512, images=8, shown=8)),
    captions=16,
    longest_tokens=200,
    mean_tokens=100.0,
)
ANSWER = MeasuredStep(
    key="k" * 32, cuda=True, device="RTX", peak=20 * GIB, process=4 * GIB, seconds_per_step=2.0, steps=2,
    images_per_step=1, width=1024, height=1024, images=1, caption_tokens=200,
)  # fmt: skip
RELEASED = Dimensions()


def config(folder: Path, **values: object) -> TrainConfig:
    given = {"base_model_path": "/no", "train_data_dir": "x", "output_dir": str(folder), **values}
    return TrainConfig(**given)  # type: ignore[arg-type]


def key(data: DataFacts = DATA, transformer: Dimensions = RELEASED, device: str = "RTX", **values: object) -> str:
    settings = config(Path("/out"), **values)
    return fit_key(settings, work_of(settings, data), transformer, device)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("gradient_accumulation_steps", 2), ("gradient_checkpointing", False), ("checkpoint_skip_every", 3),
        ("mixed_precision", "no"), ("quantize_base", "int8"), ("optimizer_type", "AdamW"), ("lora_rank", 8),
        ("adapter_type", "lokr"),
        ("lora_dropout", 0.0), ("lora_target_modules", ["attention.qkv"]), ("train_batch_size", 2),
        ("max_gemma_tokens", 64), ("base_model_path", "/other"), ("use_flash_attention_2", True),
    ],
)  # fmt: skip
def test_another_step_has_another_key(name: str, value: object) -> None:
    assert key(**{name: value}) != key()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 1e-5), ("num_epochs", 3), ("seed", 1), ("output_name", "other"), ("sample_prompts", ["a"]),
        ("lora_alpha", 4.0), ("gpus", "0"), ("vae_path", "/vae"), ("quantize_gemma", "int8"), ("resolution", 768),
        ("lokr_rank", 8), ("lokr_factor", 4),
    ],
)  # fmt: skip
def test_what_changes_no_step_changes_no_key(name: str, value: object) -> None:
    assert key(**{name: value}) == key()


def test_data_model_and_device_are_part_of_the_key() -> None:
    longer = replace(DATA, longest_tokens=201)
    larger = replace(DATA, buckets=(*DATA.buckets, Bucket(width=1152, height=1024, images=1, shown=1)))
    more = replace(DATA, buckets=(*DATA.buckets, Bucket(width=768, height=512, images=9, shown=9)))
    assert len({key(), key(longer), key(larger), key(transformer=Dimensions(n_layers=2)), key(device="other")}) == 5
    assert key(more) == key()


def test_another_pytorch_has_another_key(monkeypatch: pytest.MonkeyPatch) -> None:
    now = key()
    monkeypatch.setattr(measured, "version", lambda package: f"{package} of tomorrow")
    assert key() != now


def test_the_device_is_the_first_gpu_that_the_config_means() -> None:
    gpus = tuple(Gpu(index=n, name=name, total_mib=1, free_mib=1) for n, name in enumerate(["A", "B"]))
    machine = Machine(gpus=gpus, cpu_count=8)
    settings = config(Path("/out"), gpus="1")
    assert device_name(settings, machine, cuda=True) == "B"
    assert device_name(settings, machine, cuda=False) == "CPU with 8 cores"
    assert device_name(settings, Machine(), cuda=True) == ""
    assert uses_gpu(settings, machine) and not uses_gpu(settings, Machine())


def test_an_answer_comes_back_and_only_the_newest_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measured, "KEPT", 2)
    folder = tmp_path / "out" / ".fit"
    for number in range(3):
        keep(folder, replace(ANSWER, key=str(number)))
        os.utime(folder / f"{number}.json", (number + 1, number + 1))
    keep(folder, ANSWER)
    assert find(folder, ANSWER.key) == ANSWER and find(folder, "2")
    assert sorted(path.stem for path in folder.iterdir()) == ["2", ANSWER.key]


@pytest.mark.parametrize(
    "change",
    [
        {"version": 0}, {"key": "other"}, {"peak": -1}, {"peak": 0}, {"peak": "much"}, {"seconds_per_step": None},
        {"seconds_per_step": float("nan")}, {"seconds_per_step": float("inf")}, {"steps": [2]},
    ],
)  # fmt: skip
def test_a_foreign_answer_is_none(change: dict[str, object], tmp_path: Path) -> None:
    keep(tmp_path, ANSWER)
    file = tmp_path / f"{ANSWER.key}.json"
    values = json.loads(file.read_text())
    file.write_text(json.dumps({**values, "later": 1}))
    assert find(tmp_path, ANSWER.key) == ANSWER
    file.write_text(json.dumps({**values, **change}))
    assert find(tmp_path, ANSWER.key) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"version": 1}', "[" * 100_000, "\udc80"])
def test_a_damaged_file_is_no_answer(text: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert find(tmp_path, "a") is None and find(tmp_path / "absent", "a") is None


def test_the_estimate_follows_what_was_measured(tmp_path: Path) -> None:
    before = estimate(config(tmp_path), DATA, base=BaseSizes(), world_size=2)
    after = estimate(config(tmp_path), DATA, base=BaseSizes(), world_size=2, measured=ANSWER)
    training = after.phases[3]
    exchange = next(part.bytes for part in training.components if part.name == "gradient exchange")
    assert after.peak == training and training.bytes == ANSWER.peak + exchange
    assert after.reserve > before.reserve and after.host == before.host
    assert after.training_estimate == before.phases[3].bytes and before.measured is None
    assert after.phases[:3] == before.phases[:3]


def test_the_pace_is_the_measured_one_until_a_run_tells_another(tmp_path: Path) -> None:
    settings = config(tmp_path)
    tried = estimate(settings, DATA, base=BaseSizes(), measured=ANSWER)
    assert tried.speed and tried.steps and (tried.speed.run, tried.seconds) == ("", 2.0 * tried.steps.total_steps)
    run = RunDir(tmp_path / settings.output_name)
    run.create(settings)
    log = EventLog(run.events_file)
    for step in range(1, 6):
        log.emit("step", step=step, seconds_per_step=1.0)
    own = estimate(settings, DATA, base=BaseSizes(), measured=ANSWER)
    assert own.speed and (own.speed.run, own.speed.seconds_per_step) == (settings.output_name, 1.0)
