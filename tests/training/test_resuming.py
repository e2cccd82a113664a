"""What is said, and what becomes of an earlier life's files, where a run goes on."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.lora_facts import newest_export
from trainer_core.training.optim import rate_of_step
from trainer_core.training.resume import rate_warnings, set_aside_later
from trainer_core.training.validation import forget_measured_after


def scheduled(steps: int, **settings: object) -> tuple[TrainConfig, SimpleNamespace]:
    values = {"base_model_path": "b", "train_data_dir": "d", "learning_rate": 1e-3, "lr_warmup_steps": 0, **settings}
    config = TrainConfig(**values)  # type: ignore[arg-type]
    return config, SimpleNamespace(total_steps=steps, rate=lambda: rate_of_step(config, steps))


def test_what_an_earlier_life_made_later_is_moved_aside_and_told(tmp_path: Path) -> None:
    run = RunDir(tmp_path / "run")
    for step in (4, 8, 12):
        (run.exports / f"run-step-{step:08d}-peft").mkdir(parents=True)
        (run.exports / f"run-step-{step:08d}.safetensors").touch()
    (run.exports / "mine.safetensors").touch()
    run.samples.mkdir()
    for step in (0, 8):
        run.sample(step, 0).touch()
    [told] = set_aside_later(run, 4)
    [moved] = run.earlier.iterdir()
    assert "exported after step 4" in told and moved.relative_to(run.path).as_posix() in told
    assert sorted(path.name for path in moved.glob("*/*")) == [
        "run-step-00000008-peft", "run-step-00000008.safetensors", "run-step-00000012-peft",
        "run-step-00000012.safetensors", "step-00000008-00.png",
    ]  # fmt: skip
    assert newest_export(run.path).name == "run-step-00000004.safetensors" and run.sample(0, 0).exists()
    assert set_aside_later(run, 4) == []


def test_what_an_earlier_life_measured_later_is_forgotten(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    forget_measured_after(run, -1)
    assert not run.validation_file.exists()
    measured = [{"step": step, "loss": 1.0} for step in (0, 4, 8)]
    run.validation_file.write_text(json.dumps({"measured": measured, "best": {"step": 4}}))
    for step, steps, best in ((8, [0, 4, 8], 4), (4, [0, 4], 4), (3, [0], None), (-1, [], None)):
        forget_measured_after(run, step)
        assert [entry["step"] for entry in run.read_validation()["measured"]] == steps and run.best_step() == best


@pytest.mark.parametrize("scheduler", ["cosine", "linear"])
def test_a_rate_that_jumps_up_is_told_with_both_figures(scheduler: str) -> None:
    before = scheduled(500, lr_scheduler=scheduler)[1].rate()(499)
    config, longer = scheduled(1000, lr_scheduler=scheduler)
    [told] = rate_warnings(config, longer, 500, before)
    assert f"from {before:.3g} at the last step to 0.0005" in told


def test_a_rate_that_rises_as_planned_falls_or_is_unknown_is_not_told() -> None:
    for settings in (
        {"lr_scheduler": "constant", "lr_warmup_steps": 40}, {"lr_scheduler": "cosine"},
        {"lr_scheduler": "cosine_with_restarts", "lr_restarts": 3},
    ):  # fmt: skip
        config, same = scheduled(60, **settings)
        assert [
            told for first in range(60) for told in rate_warnings(config, same, first, same.rate()(first - 1))
        ] == []
    config, shorter = scheduled(60, lr_scheduler="cosine")
    assert rate_warnings(config, shorter, 50, scheduled(90, lr_scheduler="cosine")[1].rate()(49)) == []
    assert rate_warnings(config, shorter, 50, None) == []
