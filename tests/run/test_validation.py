"""Held-out images: measured at every save, never trained on, the best checkpoint kept and named."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from runs import events, losses, run_of, stop_and_go_on

from trainer_core.cli.checking import check
from trainer_core.contracts.config import TrainConfig
from trainer_core.dataset.facts import read_facts
from trainer_core.planning.schedule import count_steps
from trainer_core.training.run import run_training
from trainer_core.training.validation import ValidationResult, Validator

Make = Callable[..., TrainConfig]


def test_the_loss_of_held_out_images_falls_and_training_never_notices(config: Make, data: Path, tmp_path: Path) -> None:
    settings = {"learning_rate": 5e-3, "num_epochs": 4, "caption_dropout_rate": 0.0, "lora_dropout": 0.0}
    # The same pictures in other bytes: what is learnt of them shows at once.
    alike = tmp_path / "alike"
    alike.mkdir()
    for place, file in enumerate(sorted(data.rglob("*.png"))):
        Image.open(file).save(alike / f"{place}.png", compress_level=1)
        shutil.copy(file.with_suffix(".txt"), alike / f"{place}.txt")
    watched = config("watched", **settings, validation_data_dir=str(alike), validation_every_n_steps=6)
    run_training(watched)
    alone = config("alone", **settings)
    run_training(alone)
    assert losses(watched) == losses(alone)
    measured = events(watched, "validation")
    assert [event["step"] for event in measured] == [0, 4, 6, 8, 12, 16]
    assert measured[-1]["loss"] < measured[0]["loss"] and len(measured[0]["bands"]) == 4
    assert sum(measured[0]["bands"].values()) / 4 == pytest.approx(measured[0]["loss"])
    assert [entry["loss"] for entry in json.loads(run_of(watched).validation_file.read_bytes())["measured"]] == [
        event["loss"] for event in measured
    ]


def test_what_is_held_out_is_not_trained_on_wherever_it_lies_and_all_count_so(
    config: Make, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "pictures"
    shutil.copytree(data, root)
    (root / "held out").mkdir()
    for file in sorted((root / "plain set").iterdir())[:2]:
        shutil.copy(file, root / "held out")
    made = config(train_data_dir=str(root), validation_data_dir=str(root / "held out"), num_epochs=1)
    assert check(made) == 0 and "4 images, 6 an epoch with repeats, 2 more held out" in capsys.readouterr().out
    assert run_training(made) == "finished"
    assert any("2 of 6 images are not trained on" in event["message"] for event in events(made, "warning"))
    assert len(losses(made)) == count_steps(made, read_facts(made).buckets).total_steps == 3


@pytest.mark.parametrize("setting", [("validation_split", 0.3), ("validation_every_n_steps", 3)])
def test_a_validation_without_images_is_spoken_of(config: Make, tmp_path: Path, setting: tuple[str, float]) -> None:
    single = tmp_path / "single"
    single.mkdir()
    Image.new("RGB", (128, 128)).save(single / "only.png")
    made = config(train_data_dir=str(single), max_train_steps=1, **dict([setting]))
    assert run_training(made) == "finished" and events(made, "validation") == []
    told = [event["message"] for event in events(made, "warning")]
    assert sum("{} = {:g} ".format(*setting) in message for message in told) == 1


def test_the_best_checkpoint_is_kept_and_named(config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = iter([9.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0])
    monkeypatch.setattr(
        Validator, "measure", lambda *_: ValidationResult(loss=next(figures), bands={"0.00-1.00": 1.0}, images=1)
    )
    made = config(num_epochs=6, keep_last_n_checkpoints=2, max_train_steps=6, save_every_n_steps=1,
                  validation_split=0.2)  # fmt: skip
    run_training(made)
    run = run_of(made)
    assert sorted(path.name for path in run.checkpoints.iterdir()) == [f"step-0000000{n}" for n in (2, 5, 6)]
    best = json.loads(run.validation_file.read_bytes())["best"]
    assert (best["step"], best["loss"], best["export"]) == (2, 1.0, "run-step-00000002.safetensors")
    assert [event["best"] for event in events(made, "checkpoint")] == [True, True, False, False, False, False]


def test_another_held_out_set_starts_the_competition_anew(
    config: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / "red", tmp_path / "blue"]
    for folder in folders:
        folder.mkdir()
        Image.new("RGB", (128, 128), folder.name).save(folder / "1.png")
    figures = iter([9.0, 1.0, 5.0, 6.0, 7.0])
    monkeypatch.setattr(
        Validator, "measure", lambda *_: ValidationResult(loss=next(figures), bands={"0.00-1.00": 1.0}, images=1)
    )
    for steps, folder in ((1, folders[0]), (2, folders[1]), (4, folders[1])):
        made = config(max_train_steps=steps, save_every_n_steps=1, validation_data_dir=str(folder))
        assert run_training(made) == "finished"
    record = json.loads(run_of(made).validation_file.read_bytes())
    assert record["best"]["step"] == 2 and len({entry["held_out"] for entry in record["measured"]}) == 2
    assert sum("sought anew" in event["message"] for event in events(made, "warning")) == 1


def test_what_it_does_before_and_between_the_steps_is_told(config: Make) -> None:
    made = config(max_train_steps=2, validation_split=0.2, sample_prompts=["1girl", "1boy"], sample_steps=1)
    assert run_training(made) == "finished"
    told = [(event["phase"], event["done"], event["total"]) for event in events(made, "phase")]
    before = told[told.index(("loading the transformer", 0, 1)) + 1 :]
    begun = [(phase, total) for phase, done, total in before if done == 0]
    assert begun == [
        ("validating", 1),
        ("drawing samples", 2),
        ("training", 2),
        ("validating", 1),
        ("drawing samples", 2),
    ]
    assert "drawing samples: 2 to do" in run_of(made).log_file.read_text(encoding="utf-8")


def test_a_stop_during_the_measurement_before_the_first_step_trains_none(
    config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config(max_train_steps=2, validation_split=0.2)
    result = ValidationResult(loss=1.0, bands={"0.00-1.00": 1.0}, images=1)
    monkeypatch.setattr(Validator, "measure", lambda *_: run_of(made).request("stop") or result)
    assert run_training(made) == "stopped" and not losses(made) and not run_of(made).has_begun()


def test_what_a_stop_left_unmeasured_is_measured_when_the_run_goes_on(
    config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([9.0, 1.0, 2.0])
    monkeypatch.setattr(
        Validator, "measure", lambda *_: ValidationResult(loss=next(figures), bands={"0.00-1.00": 1.0}, images=1)
    )
    made = config(max_train_steps=2, save_every_n_steps=1, validation_split=0.2)
    stop_and_go_on(made, monkeypatch)
    record = json.loads(run_of(made).validation_file.read_bytes())
    assert [entry["step"] for entry in record["measured"]] == [0, 1, 2] and record["best"]["step"] == 1


def test_a_validation_loss_that_overflowed_ends_nothing_and_is_never_the_best(
    config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([float("nan"), float("inf"), 2.0])
    monkeypatch.setattr(
        Validator, "measure", lambda *_: ValidationResult(loss=(it := next(figures)), bands={"0.00-1.00": it}, images=1)
    )
    made = config(max_train_steps=2, save_every_n_steps=1, validation_split=0.2)
    assert run_training(made) == "finished"
    record = json.loads(run_of(made).validation_file.read_bytes())
    assert [entry["loss"] for entry in record["measured"]] == [None, None, 2.0] and record["best"]["step"] == 2
