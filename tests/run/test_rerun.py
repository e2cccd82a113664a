"""What starting the same run again does, by what changed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runs import events, losses, run_of

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.reached import reached
from trainer_core.training import loop, saving, session
from trainer_core.training.run import run_training
from trainer_core.training.stopping import StopSignal

Make = Callable[..., TrainConfig]


def test_finished_says_so_and_more_epochs_continue(config: Make, finished_copy: TrainConfig) -> None:
    assert run_training(finished_copy) == "already finished" and len(losses(finished_copy)) == 4
    assert run_training(config(num_epochs=2)) == "finished" and len(losses(finished_copy)) == 8
    assert any("The learning rate rises from" in event["message"] for event in events(finished_copy, "warning"))


def test_fewer_steps_than_are_done_are_said_as_such(config: Make, finished_copy: TrainConfig) -> None:
    assert run_training(config(max_train_steps=3)) == "already finished"
    said = events(finished_copy, "finished")[-1]["message"]
    assert said == "already finished: 4 steps are done, more than the 3 that max_train_steps asks for now"
    assert run_of(finished_copy).read_state()["total_steps"] == 4


def test_what_is_left_is_known_before_the_start(config: Make, finished_copy: TrainConfig) -> None:
    run = run_of(finished_copy)
    found = reached(run)
    assert found is not None and (found.steps, found.epochs, found.finished) == (4, 1.0, True)
    for enough in (finished_copy, config(max_train_steps=3), config(max_train_steps=4)):
        assert found.is_enough(enough)
        assert run_training(enough) == "already finished"
    assert not found.is_enough(config(max_train_steps=5)) and not found.is_enough(config(num_epochs=2))
    pictures = config(num_epochs=1, sample_prompts=["1girl"], sample_steps=1)
    assert not found.is_enough(pictures) and run_training(pictures) == "finished"
    drawn = reached(run)
    assert drawn is not None and drawn.is_enough(pictures)


def test_steps_of_another_size_leave_the_run_in_its_epoch(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(num_epochs=2)
    asked = iter([set()] * 5 + [{"stop"}])
    with monkeypatch.context() as patch:
        patch.setattr(StopSignal, "requests", lambda self: next(asked))
        assert run_training(made) == "stopped"
    # Of two epochs of 4 steps 6 are done: with epochs of 2, one step is left.
    larger = config(num_epochs=2, gradient_accumulation_steps=4)
    assert run_training(larger) == "finished" and len(losses(made)) == 7
    assert [event["epoch"] for event in events(made, "step")] == [1, 1, 1, 1, 2, 2, 2]
    assert any("2 steps now instead of 4" in event["message"] for event in events(made, "warning"))
    assert run_training(larger) == "already finished"


def test_a_changed_rank_is_refused_by_name_and_changes_nothing(config: Make, finished_copy: TrainConfig) -> None:
    run = run_of(finished_copy)
    before = run.config_file.read_bytes()
    with pytest.raises(UserError, match="lora_rank: 4 -> 8"):
        run_training(config(num_epochs=2, lora_rank=8))
    assert run.config_file.read_bytes() == before and run.status() == "finished"


def test_a_renamed_base_goes_on_and_another_one_is_refused_by_its_contents(config: Make, tmp_path: Path) -> None:
    base, other = tmp_path / "base", tmp_path / "other"
    for folder in (base, other):
        shutil.copytree(TINY_BASE, folder)
    with open(other / "vae" / "config.json", "a") as file:
        file.write("\n")
    assert run_training(config(base_model_path=str(base), max_train_steps=1)) == "finished"
    base.rename(tmp_path / "renamed")
    refused = config(base_model_path=str(other), max_train_steps=2)
    before = len(events(refused, "phase"))
    with pytest.raises(UserError, match="other is not the one this run was trained on"):
        run_training(refused)
    # Not after hours of encoding with the other VAE.
    assert [event["phase"] for event in events(refused, "phase")[before:]] == ["checking data"]
    # What was refused is not what the run compares with from here on.
    assert run_training(config(base_model_path=str(tmp_path / "renamed"), max_train_steps=2)) == "finished"


def test_a_changed_learning_rate_continues_with_a_warning_and_another_spelling_in_silence(
    config: Make, finished_copy: TrainConfig
) -> None:
    targets = list(reversed(finished_copy.lora_target_modules))
    respelt = {"lora_target_modules": targets, "base_model_path": finished_copy.base_model_path + "/"}
    changed = config(num_epochs=2, learning_rate=5e-4, **respelt)
    assert run_training(changed) == "finished"
    told = [event["message"] for event in events(changed, "warning")]
    assert any("learning_rate" in message for message in told)
    assert not any(option in message for message in told for option in respelt)


def test_a_non_finite_loss_names_the_images_and_keeps_the_checkpoint(
    config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config(num_epochs=1, save_every_n_steps=1)
    real, calls = loop.velocity_loss, iter(range(100))
    monkeypatch.setattr(loop, "velocity_loss", lambda *a: real(*a) * (float("nan") if next(calls) == 4 else 1.0))
    with pytest.raises(UserError, match=r"loss of step 3 is not a finite number.*絵"):
        run_training(made)
    assert run_of(made).status() == "failed" and events(made, "failed")[-1]["code"] == "non_finite"
    assert [event["step"] for event in events(made, "checkpoint")] == [1, 2]


def test_fp16_that_only_overflows_ends_instead_of_finishing(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU has no fp16: only what is read of each step is made up."""
    launch, scales = loop.Trainer.launch, iter([0.5])

    def overflowing(self: loop.Trainer, step: int) -> loop.LaunchedStep:
        figures = loop.HostCopy(torch.tensor([0.5, float("inf")]))
        return replace(launch(self, step), figures=figures, scaled=True)

    monkeypatch.setattr(loop.Trainer, "launch", overflowing)
    monkeypatch.setattr(loop.Trainer, "loss_scale", lambda self: next(scales))
    made = config(num_epochs=1)
    with pytest.raises(UserError, match="gradient of step 1 is not a finite number"):
        run_training(made)
    assert run_of(made).status() == "failed"


def test_out_of_memory_names_the_steps_of_the_ladder_in_order(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB")

    monkeypatch.setattr(loop, "interpolate", full)
    made = config(train_batch_size=2, gradient_checkpointing=False, lora_rank=32, recover_from_oom=False)
    with pytest.raises(UserError, match=r"ran out of memory.*2\.00 GiB"):
        run_training(made)
    hints = events(made, "failed")[-1]["hints"]
    # Not Gemma in fewer bits: of one that small it would be a new run for nothing.
    wanted = (
        "micro_batch_size = 1", "gradient_checkpointing = true", 'base = "int8"', 'base = "nf4"', "Strategy 1",
        "lora_rank = 16",
    )  # fmt: skip
    assert len(hints) == len(wanted) and all(words in hint for words, hint in zip(wanted, hints, strict=True))


def test_save_and_sample_requests(config: Make) -> None:
    made = config(num_epochs=1, sample_prompts=["1girl, red hair"], sample_steps=2, sample_every_n_epochs=0)
    run = run_of(made)
    run.create(made)
    from trainer_core.training.stopping import StopSignal

    enter = StopSignal.__enter__

    def ask_after_entering(self: StopSignal) -> StopSignal:
        entered = enter(self)
        run.request("save")
        run.request("sample")
        return entered

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StopSignal, "__enter__", ask_after_entering)
        run_training(made)
    assert [event["step"] for event in events(made, "checkpoint")] == [1, 4]
    assert [event["step"] for event in events(made, "sample")] == [1]


@pytest.mark.parametrize(("option", "place", "code"), [("train_data_dir", "nowhere", "dataset_missing"),
                                                       ("validation_data_dir", "nowhere", "dataset_missing"),
                                                       ("train_data_dir", ".", "output_invalid")])  # fmt: skip
def test_folders_are_checked_before_anything_is_written(
    config: Make, tmp_path: Path, option: str, place: str, code: str
) -> None:
    made = config("never", **{option: str(tmp_path / place)})
    with pytest.raises(UserError, match=option) as caught:
        run_training(made)
    assert caught.value.code == code and not run_of(made).path.exists()


def test_what_cannot_run_here_is_said_before_anything_is_written(config: Make) -> None:
    for wrong in (
        {"mixed_precision": "fp16", "device": "auto"},
        {"lora_target_modules": ["bogus"]},
        {"resume_from_lora": "none"},
    ):
        made = config("never", **wrong)
        with pytest.raises(UserError):
            run_training(made)
        assert not run_of(made).path.exists()


def test_a_kill_between_export_and_checkpoint_makes_both_again(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(num_epochs=1)
    with monkeypatch.context() as patch:
        patch.setattr(saving, "save_checkpoint", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_training(made)
    assert run_training(made) == "finished"
    assert [len(events(made, kind)) for kind in ("checkpoint", "export")] == [1, 1] and len(losses(made)) == 4
    assert any("exported after step 0 was moved to earlier/" in event["message"] for event in events(made, "warning"))


@pytest.mark.parametrize("cut", [2, 4, 6])
def test_pictures_that_a_stop_left_undrawn_are_drawn_by_the_next_start(
    cut: int, config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first step, between two and after the last."""
    made = config(max_train_steps=2, sample_prompts=["1girl", "1boy"], sample_steps=1, sample_every_n_steps=1)
    real, calls = session.sample_latents, iter(range(1, 100))
    monkeypatch.setattr(session, "sample_latents", lambda *a, **k: None if next(calls) == cut else real(*a, **k))
    assert run_training(made) == "stopped" and run_of(made).status() == "stopped" and len(losses(made)) == cut // 2 - 1
    assert run_training(made) == "finished" and run_training(made) == "already finished"
    drawn = [(event["step"], event["number"]) for event in events(made, "sample")]
    assert drawn == [(step, number) for step in range(3) for number in range(2)] and len(losses(made)) == 2


def test_a_run_that_begins_anew_tells_what_comes_before_its_first_step_once(
    config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config(max_train_steps=1, validation_split=0.2, sample_prompts=["1girl"], sample_steps=1)
    with monkeypatch.context() as patch:
        patch.setattr(loop.Trainer, "launch", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run_training(made)
    assert run_training(made) == "finished"
    for kind in ("validation", "sample"):
        assert [event["step"] for event in events(made, kind)] == [0, 1]
