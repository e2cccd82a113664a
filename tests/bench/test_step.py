"""The step benchmark at tiny size on the CPU; in a process of its own, as it is run, it is in test_gpu.py."""

import json
import math
from pathlib import Path

import pytest

from bench.step import main

SMALL = ["--size", "tiny", "--layers", "2", "--caption-tokens", "16", "--steps", "2", "--warmup", "1"]
CPU = ["--set", 'optimizer_type="AdamW"', "--set", 'device="cpu"', "--set", "resolution=64"]
FIGURES = (
    "seconds_per_step", "images_per_second", "peak_gib", "estimated_peak_gib", "estimate_over_measured",
    "model_tflop_per_step", "executed_tflop_per_step", "matrix_tflops", "utilisation",
)  # fmt: skip


@pytest.mark.usefixtures("fresh_accelerate")
def test_one_json_line_with_finite_figures(capfd: pytest.CaptureFixture[str]):
    assert main([*SMALL, *CPU, "--set", "train_batch_size=2"]) == 0
    (line,) = capfd.readouterr().out.splitlines()
    told = json.loads(line)
    assert all(math.isfinite(told[name]) and told[name] > 0 for name in FIGURES)
    assert told["machine"]["device"] == "cpu" and told["config"]["train_batch_size"] == 2
    assert told["images_per_second"] == pytest.approx(2 / told["seconds_per_step"])
    # Recomputing the layers is work that the model's own arithmetic does not count.
    assert told["executed_tflop_per_step"] > told["model_tflop_per_step"]


@pytest.mark.usefixtures("fresh_accelerate")
def test_a_config_file_with_one_thing_changed(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    file = tmp_path / "c.toml"
    file.write_text(
        "base_model_path = 'x'\ntrain_data_dir = 'x'\ndevice = 'cpu'\noptimizer_type = 'AdamW'\nresolution = 64\n"
        "lora_rank = 4\ngradient_checkpointing = false\nmixed_precision = 'no'\n"
    )
    assert main([*SMALL, str(file), "--set", "lora_rank=2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["config"]["lora_rank"] == 2 and told["config"]["gradient_checkpointing"] is False
    assert told["executed_tflop_per_step"] == told["model_tflop_per_step"]


@pytest.mark.parametrize(
    "wrong", ["resolution=65", "no_such=1", 'lora_target_modules=["x"]', 'attention_backend="varlen"']
)
def test_mistakes_are_told_in_words(wrong: str, capsys: pytest.CaptureFixture[str]):
    assert main([*SMALL, *CPU, "--set", wrong]) == 1
    assert capsys.readouterr().err.startswith("error: ")
