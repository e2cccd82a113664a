"""`presets`: the list with its explanation, and configs that can be trained with."""

from pathlib import Path

import pytest

from trainer_core.cli import main
from trainer_core.cli.presets import estimated_peak
from trainer_core.contracts.config import load_config
from trainer_core.planning.presets import Preset, load_presets

Captured = pytest.CaptureFixture[str]
PATHS = ["--base", 'D:\\my "base"', "--data", "数据"]


def test_the_list_names_every_preset_and_explains_the_choice(capsys: Captured):
    assert main(["presets"]) == 0
    told = capsys.readouterr().out
    assert all(f" {preset.name} " in told and preset.title_zh in told for preset in load_presets())
    assert "For this machine" in told and told.count("\n* ") + told.startswith("* ") == 1


@pytest.mark.parametrize("preset", load_presets(), ids=lambda preset: preset.name)
def test_a_written_config_loads_and_holds_the_preset(preset, tmp_path: Path, capsys: Captured):
    file = tmp_path / "my.toml"
    assert main(["presets", preset.name, *PATHS, "--write", str(file)]) == 0
    config = load_config(file)
    assert (config.base_model_path, config.train_data_dir) == (PATHS[1], PATHS[3])
    assert {name: getattr(config, name) for name in preset.values} == preset.values
    assert "# " in file.read_text(encoding="utf-8")


def test_printing_shows_what_writing_would_write(tmp_path: Path, capsys: Captured):
    assert main(["presets", "auto", *PATHS]) == 0
    printed = capsys.readouterr().out
    assert main(["presets", "auto", *PATHS, "--write", str(tmp_path / "a.toml")]) == 0
    assert (tmp_path / "a.toml").read_text(encoding="utf-8") == printed


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["presets", "13gb"], 1, "there are cpu-demo, 6gb"),
        (["presets", "16gb", "--write", "new.toml"], 2, "train_data_dir"),
        (["presets", "16gb", *PATHS, "--write", "old.toml"], 1, "exists already"),
        (["presets", "16gb", *PATHS, "--write", "no/such/folder/a.toml"], 1, "cannot be written"),
        (["presets", "--write", "new.toml"], 1, "Which preset?"),
    ],
)
def test_mistakes_write_nothing(arguments: list[str], code: int, words: str, tmp_path, monkeypatch, capsys: Captured):
    monkeypatch.chdir(tmp_path)
    Path("old.toml").write_text("mine")
    assert main(arguments) == code and words in capsys.readouterr().err
    assert Path("old.toml").read_text() == "mine" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    "preset", [preset for preset in load_presets() if preset.device == "cuda"], ids=lambda p: p.name
)
def test_the_estimate_of_a_preset_and_its_reserve_stay_below_what_it_asks_for(preset: Preset) -> None:
    peak = estimated_peak(preset)
    assert 3 * 2**30 < peak and (peak * 1.05 + 2**29) / 2**30 < preset.needs_gib
