"""19: files that change under a run have one outcome each, and it is said."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from runs import assert_same_run, config_file, events, losses, run_of
from tiny_runs import fill
from warm import finish, launch, until

from trainer_core.contracts.checkpoints import complete_checkpoints
from trainer_core.contracts.config import TrainConfig

Make = Callable[..., TrainConfig]
CHANGES = ("picture deleted", "picture replaced", "caption edited", "base moved", "checkpoint byte flipped",
           "events torn", "events truncated", "events interleaved", "clock set back")  # fmt: skip


@pytest.fixture(scope="module")
def figure(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """Called with what was changed once the outcome is as promised; returns "n / n"."""
    seen: set[str] = set()

    def record(change: str) -> str:
        assert change in CHANGES
        seen.add(change)
        return f"{len(seen)} / {len(CHANGES)}"

    return record


def trained(config: TrainConfig) -> int:
    return finish(launch(["train", str(config_file(config))], Path(config.output_dir) / "printed.log"))


def killed_after(config: TrainConfig, step: int) -> None:
    """Killed as soon as it has told of ``step``."""
    child = launch(["train", str(config_file(config))], Path(config.output_dir) / "printed.log")
    assert until(lambda: len(events(config, "step")) >= step, child)
    child.kill()
    assert finish(child) == -9


def said(config: TrainConfig, words: str) -> bool:
    return any(words in event["message"] for event in events(config, "warning"))


def delete(picture: Path) -> None:
    picture.unlink()


def replace(picture: Path) -> None:
    picture.write_bytes(next(p for p in picture.parent.glob("*.png") if p != picture).read_bytes())


def edit_caption(picture: Path) -> None:
    picture.with_suffix(".txt").write_text("1girl, green hair", encoding="utf-8")


@pytest.mark.parametrize(("change", "act"), [("picture deleted", delete), ("picture replaced", replace),
                                            ("caption edited", edit_caption)])  # fmt: skip
def test_data_changed_mid_run_counts_from_the_next_start_on_and_is_said(
    config: Make, left_alone: TrainConfig, tmp_path: Path, change: str, act: Callable[[Path], None],
    record_figure: Callable, figure: Callable,
) -> None:  # fmt: skip
    """A life of a run trains on the data that it found when it began, to the last bit."""
    pictures = fill(tmp_path / "pictures")
    made = config(train_data_dir=str(pictures))
    child = launch(["train", str(config_file(made))], tmp_path / "printed.log")
    assert until(lambda: len(events(made, "step")) >= 3, child)
    act(sorted(pictures.glob("*.png"))[0])
    assert finish(child) == 0
    assert_same_run(made, left_alone)
    assert trained(config(train_data_dir=str(pictures), num_epochs=4)) == 0
    assert said(made, "The data set (images, captions, repeats or buckets) differs")
    assert run_of(made).status() == "finished" and len(losses(made)) > 8
    record_figure("faults: files changed", figure(change))


def test_a_base_that_was_moved_is_named_and_the_run_goes_on_when_it_is_back(
    config: Make, tmp_path: Path, record_figure: Callable, figure: Callable
) -> None:
    base = tmp_path / "base"
    base.symlink_to(Path(config().base_model_path))
    made = config(base_model_path=str(base))
    killed_after(made, 3)
    base.rename(tmp_path / "elsewhere")
    assert trained(made) == 1
    assert f"error: {base}" in (tmp_path / "printed.log").read_text(encoding="utf-8")
    assert complete_checkpoints(run_of(made).checkpoints)
    (tmp_path / "elsewhere").rename(base)
    assert trained(made) == 0 and len(losses(made)) == 8
    record_figure("faults: files changed", figure("base moved"))


def test_a_flipped_byte_in_the_newest_checkpoint_costs_its_steps_and_no_bit(
    config: Make, left_alone: TrainConfig, record_figure: Callable, figure: Callable
) -> None:
    made = config()
    killed_after(made, 5)
    newest = complete_checkpoints(run_of(made).checkpoints)[-1]
    file = newest / "optimizer.safetensors"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert trained(made) == 0
    assert said(made, f"Checkpoint {newest.name} is damaged")
    assert_same_run(made, left_alone)
    record_figure("faults: files changed", figure("checkpoint byte flipped"))


def tear(file: Path) -> None:
    with open(file, "r+b") as log:
        log.truncate(file.stat().st_size - 7)


def lose_the_end(file: Path) -> None:
    """Whole lines of steps that a checkpoint holds are gone, as after a power cut."""
    file.write_bytes(b"".join(line for line in file.read_bytes().splitlines(keepends=True) if b'"step": 3' not in line))


def interleave(file: Path) -> None:
    """Two processes wrote at once."""
    lines = file.read_bytes().splitlines(keepends=True)
    lines[-2:-2] = [lines[-1][:20] + lines[-2][:30] + b"\n", b"\x00\xff\n", b'["not", "an event"]\n']
    file.write_bytes(b"".join(lines))


def test_19_a_damaged_event_log_costs_its_lines_only(
    config: Make, left_alone: TrainConfig, record_figure: Callable, figure: Callable
) -> None:
    """All damages at once: what one of them costs beyond its own lines would be missing."""
    made = config()
    killed_after(made, 5)
    for act in (lose_the_end, interleave, tear):
        act(run_of(made).events_file)
    assert trained(made) == 0
    told = {event["step"]: event["loss"] for event in events(made, "step")}
    alone = {event["step"]: event["loss"] for event in events(left_alone, "step")}
    assert sorted(alone.keys() - told.keys()) == [3] and told == {step: alone[step] for step in told}
    for change in ("events torn", "events truncated", "events interleaved"):
        record_figure("faults: files changed", figure(change))


def set_back(seconds: float) -> None:
    real = time.time
    time.time = lambda: real() - seconds


def test_a_clock_set_back_changes_no_order_no_state_and_no_bit(
    config: Make, left_alone: TrainConfig, tmp_path: Path, record_figure: Callable, figure: Callable
) -> None:
    made = config()
    killed_after(made, 3)
    child = launch(["train", str(config_file(made))], tmp_path / "log", prepare=set_back, given={"seconds": 86400.0})
    assert until(lambda: len(events(made, "step")) >= 6, child)
    assert run_of(made).status() in ("running", "finished")
    assert finish(child) == 0
    assert_same_run(made, left_alone)
    record_figure("faults: files changed", figure("clock set back"))


@pytest.mark.parametrize(("act", "words"), [(delete, "cannot be opened"), (replace, "was replaced while")])
def test_a_picture_changed_before_it_was_encoded_is_left_out_and_poisons_no_cache(
    config: Make, left_alone: TrainConfig, tmp_path: Path, act: Callable[[Path], None], words: str
) -> None:
    pictures = fill(tmp_path / "pictures")
    made = config(train_data_dir=str(pictures), cache_dir=str(tmp_path / "cache"))
    child = launch(["train", str(config_file(made))], tmp_path / "printed.log")
    assert until(lambda: any(event["phase"].startswith("loading") for event in events(made, "phase")), child)
    act(sorted(pictures.glob("*.png"))[0])
    assert finish(child) == 0
    assert said(made, words) and len(losses(made)) == 6
    fill(pictures)
    again = config("again", train_data_dir=str(pictures), cache_dir=str(tmp_path / "cache"))
    assert trained(again) == 0
    assert_same_run(again, left_alone)
