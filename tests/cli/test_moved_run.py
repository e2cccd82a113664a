"""A run folder given to a command after it was moved."""

from pathlib import Path

from trainer_core.cli.shared import config_of
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.rundir import RunDir


def test_a_run_of_a_moved_workspace_finds_what_moved_along(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    (old / "datasets" / "anna").mkdir(parents=True)
    config = TrainConfig(
        base_model_path=str(tmp_path / "base"), train_data_dir=str(old / "datasets" / "anna"),
        output_dir=str(old / "output"), output_name="anna",
    )  # fmt: skip
    RunDir(old / "output" / "anna").create(config)
    old.rename(new)
    now, _ = config_of(new / "output" / "anna")
    assert (now.train_data_dir, now.output_dir) == (str(new / "datasets" / "anna"), str(new / "output"))
    assert now.base_model_path == str(tmp_path / "base")
