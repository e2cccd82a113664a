"""Check fit: the most expensive batch is tried as training does it, the answer is kept, and no run is touched."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image

from trainer_core.cli import fit as command
from trainer_core.cli import main
from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.measured import find, fit_folder
from trainer_core.training import fit
from trainer_core.training.fit import FitResult, check_fit
from trainer_core.training.loop import StepResult, Trainer

Patch = pytest.MonkeyPatch


@pytest.fixture(autouse=True)
def fresh_accelerate() -> Iterator[None]:
    """Accelerate remembers a process's precision and device for good."""
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """Three squares and one tall picture of half their size, in batches of two; an adapter of one layer's kind."""
    data = tmp_path / "data"
    data.mkdir()
    for number, size in enumerate([(64, 64), (64, 64), (64, 64), (16, 128)]):
        Image.new("RGB", size).save(data / f"{number}.png")
        (data / f"{number}.txt").write_text("smile, " * (3 * number), encoding="utf-8")
    return TrainConfig(
        base_model_path=str(TINY_BASE), train_data_dir=str(data), output_dir=str(tmp_path / "out"), resolution=64,
        train_batch_size=2, gradient_accumulation_steps=5, optimizer_type="AdamW", mixed_precision="no", device="cpu",
        lora_rank=2, lora_target_modules=["attention.out"], system_prompt_tags="", caption_dropout_rate=1.0,
    )  # fmt: skip


def checked(config: TrainConfig, told: list[str] | None = None) -> FitResult:
    names = told if told is not None else []
    return check_fit(config, report=lambda name, done, total: names.append(name), warn=names.append)


def full(*args: Any, **named: Any) -> Any:
    raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB")


def full_card(*args: Any, **named: Any) -> Any:
    raise torch.AcceleratorError("CUDA error: out of memory")


def full_machine(*args: Any, **named: Any) -> Any:
    raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.")


def test_the_largest_bucket_is_tried_with_a_whole_batch_of_the_longest_captions(
    config: TrainConfig, monkeypatch: Patch
) -> None:
    batches = []
    real = fit.Trainer._losses

    def losses(self: Trainer, work: Any) -> torch.Tensor:
        batch = self._batches.get(work)
        batches.append((tuple(batch.data.shape), batch.cap_feats.shape[1], batch.cap_lengths))
        return real(self, work)

    monkeypatch.setattr(fit.Trainer, "_losses", losses)
    found = checked(config).measured
    # A warm-up step and two timed ones, of two micro-batches each.
    assert found and batches == [((2, 16, 8, 8), found.caption_tokens, (found.caption_tokens,) * 2)] * 6
    assert (found.width, found.height, found.images, found.steps) == (64, 64, 2, 2)
    assert found.caption_tokens > 9 * 7 // 3


def test_seconds_are_those_of_a_whole_step_and_a_slow_one_is_timed_once(
    config: TrainConfig, monkeypatch: Patch
) -> None:
    monkeypatch.setattr(Trainer, "step", lambda self, step: StepResult(loss=1, lr=1, grad_norm=1, images=1))
    for warm_up, steps in ((fit.SLOW_S, 2), (fit.SLOW_S + 1, 1)):
        durations = iter([warm_up, 4.0, 6.0])
        monkeypatch.setattr(fit, "seconds_of", lambda action, device, left=durations: (action(), next(left))[1])
        found = checked(config).measured
        # 5 micro-batches a step, of which 2 were made.
        assert found and found.steps == steps and found.seconds_per_step == (5.0, 4.0)[steps == 1] * 2.5


def test_the_answer_is_kept_and_beside_it_nothing_is_written(config: TrainConfig) -> None:
    told: list[str] = []
    result = checked(config, told)
    assert result.verdict == "fits" and result.measured and result.took > 0
    assert find(fit_folder(config), result.measured.key) == result.measured
    assert list(Path(config.output_dir).iterdir()) == [fit_folder(config)]
    assert list(dict.fromkeys(told)) == ["checking data", "loading the transformer", "trying a step"]
    assert result.forecast.measured == result.measured
    assert result.forecast.steps and result.forecast.seconds == (
        result.measured.seconds_per_step * result.forecast.steps.total_steps
    )


def test_an_estimate_finds_the_answer_wherever_the_device_is_left_open(
    config: TrainConfig, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "c.toml"
    file.write_text(to_toml(replace(config, device="auto")), encoding="utf-8")
    assert main(["fit", str(file)]) == 0
    assert main(["estimate", str(file)]) == 0
    assert "training was measured" in capsys.readouterr().out


def test_a_begun_run_stays_as_it_is(config: TrainConfig) -> None:
    run = Path(config.output_dir) / config.output_name
    (run / "control").mkdir(parents=True)
    (run / "control" / "stop").write_text("")
    (run / "config.toml").write_text("old")
    before = {path: path.stat().st_mtime_ns for path in (run, *run.rglob("*"))}
    checked(config)
    assert {path: path.stat().st_mtime_ns for path in (run, *run.rglob("*"))} == before


@pytest.mark.parametrize(
    ("place", "fails"),
    [("load_base", full), ("seconds_of", full), ("seconds_of", full_machine), ("kernel_notes", full_card)],
)
def test_out_of_memory_is_the_answer_with_advice(
    place: str,
    fails: Any,
    config: TrainConfig,
    monkeypatch: Patch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(fit, place, fails)
    file = tmp_path / "c.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    assert main(["fit", str(file)]) == 3
    told = capsys.readouterr().out
    assert "Memory does not suffice" in told and "It does not fit." in told
    assert "micro_batch_size = 1" in told and "Estimated peak" in told
    assert not fit_folder(config).exists()


def test_another_error_is_none_of_memory(config: TrainConfig, monkeypatch: Patch) -> None:
    monkeypatch.setattr(fit, "seconds_of", lambda *args: torch.zeros(1) @ torch.zeros(2))
    with pytest.raises(RuntimeError, match="inconsistent"):
        checked(config)


def test_on_a_cpu_what_cannot_be_held_is_not_even_loaded(config: TrainConfig, monkeypatch: Patch) -> None:
    monkeypatch.setattr(fit, "load_base", lambda *args: pytest.fail("loaded"))
    machine = fit.detect(Path())
    monkeypatch.setattr(fit, "detect", lambda path: replace(machine, memory_free_mib=1))
    result = checked(config)
    assert result.verdict == "no" and result.measured is None and result.hints


@pytest.mark.parametrize(("free", "verdict"), [(2000, "fits"), (900, "no")])
def test_the_verdict_follows_the_measured_peak(
    free: int, verdict: str, config: TrainConfig, monkeypatch: Patch
) -> None:
    machine = fit.detect(Path())
    monkeypatch.setattr(fit, "detect", lambda path: replace(machine, memory_free_mib=free))
    result = checked(config)
    assert result.verdict == verdict and result.measured and bool(result.hints) is (verdict == "no")


def test_free_memory_is_read_before_the_check_takes_any(config: TrainConfig, monkeypatch: Patch) -> None:
    order: list[str] = []
    for name in ("detect", "pick_device", "kernel_notes"):
        real = getattr(fit, name)
        monkeypatch.setattr(fit, name, lambda what, name=name, real=real: (order.append(name), real(what))[1])
    checked(config)
    assert order == ["detect", "pick_device", "kernel_notes"]


def test_a_stop_comes_between_two_steps(config: TrainConfig) -> None:
    def report(name: str, done: int, total: int) -> None:
        if (name, done) == ("trying a step", 1):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check_fit(config, report=report, warn=print)
    assert not fit_folder(config).exists()


def test_of_several_gpus_the_command_shows_the_first_that_is_meant(config: TrainConfig, monkeypatch: Patch) -> None:
    gpus = tuple(Gpu(index=number, name="RTX", total_mib=9, free_mib=9) for number in range(3))
    monkeypatch.setattr(command, "detect", lambda path: Machine(gpus=gpus))
    monkeypatch.setattr(command.os, "environ", {})
    assert command._only_first(replace(config, device="auto", gpus="1,2")) == 2
    assert command.os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert command._only_first(config) == 1
