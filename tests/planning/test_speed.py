"""The pace that earlier runs had."""

from pathlib import Path

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.speed import known_speed, pace_settings


def config(folder: Path, **values: object) -> TrainConfig:
    given = {"base_model_path": "b", "train_data_dir": "x", "output_dir": str(folder), **values}
    return TrainConfig(**given)  # type: ignore[arg-type]


def finished(settings: TrainConfig, paces: list[float | None]) -> None:
    run = RunDir(Path(settings.output_dir) / settings.output_name)
    run.create(settings)
    log = EventLog(run.events_file)
    log.emit("started", settings=pace_settings(settings))
    for step, pace in enumerate(paces, start=1):
        log.emit("step", step=step, seconds_per_step=pace)


def test_nothing_is_known_without_runs(tmp_path: Path):
    assert known_speed(config(tmp_path)) is None
    assert known_speed(config(tmp_path / "absent")) is None


def test_the_mean_of_its_own_steps_without_the_first_and_those_held_up(tmp_path: Path):
    finished(config(tmp_path), [90, 90, 90, 1, 1, 1, 7, 7, 3000, None])
    speed = known_speed(config(tmp_path))
    assert speed is not None and (speed.seconds_per_step, speed.steps, speed.run) == (3.4, 5, "my_lora")


def test_steps_before_the_settings_changed_do_not_count(tmp_path: Path):
    finished(config(tmp_path, resolution=512), [1] * 50)
    finished(config(tmp_path), [90, 90, 90, 8, 8])
    speed = known_speed(config(tmp_path))
    assert speed is not None and (speed.seconds_per_step, speed.steps) == (8, 2)
    # Not one step yet: nothing is known, rather than the old pace.
    finished(config(tmp_path, resolution=768), [5, 5, 5])
    assert known_speed(config(tmp_path, resolution=768)) is None


@pytest.mark.parametrize(
    ("change", "known"),
    [
        ({"lora_rank": 8}, True),
        ({"resolution": 512}, False),
        # The built-in base takes a hundredth of the real one's time.
        ({"base_model_path": "another"}, False),
        ({"transformer_path": "another.safetensors"}, False),
        ({"train_batch_size": 2}, False),
        ({"device": "cpu"}, False),
        ({"adapter_type": "lokr"}, False),
    ],
)
def test_another_run_counts_if_its_steps_are_alike(change: dict[str, object], known: bool, tmp_path: Path):
    finished(config(tmp_path, output_name="earlier", **change), [1] * 9)
    assert (known_speed(config(tmp_path)) is not None) is known


def test_a_broken_neighbour_is_passed_over(tmp_path: Path):
    finished(config(tmp_path, output_name="good"), [2] * 9)
    finished(config(tmp_path, output_name="bad"), [5] * 9)
    RunDir(tmp_path / "bad").config_file.write_text("resolution = 'no'")
    (tmp_path / "stray.txt").write_text("x")
    speed = known_speed(config(tmp_path))
    assert speed is not None and speed.run == "good"
