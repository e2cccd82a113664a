"""`estimate` on the command line: a table, JSON, no torch, plain errors."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from trainer_core.cli import main
from trainer_core.contracts.config import load_config
from trainer_core.contracts.rundir import RunDir

ROOT = Path(__file__).parents[1]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Three pictures shown six times an epoch, on the built-in base."""
    data = tmp_path / "data" / "2_hero"
    data.mkdir(parents=True)
    for number, size in enumerate([(256, 256), (256, 256), (512, 128)]):
        Image.new("RGB", size).save(data / f"{number}.png")
        (data / f"{number}.txt").write_text("1girl, solo", encoding="utf-8")
    file = tmp_path / "c.toml"
    file.write_text(
        f"base_model_path = '{ROOT / 'assets' / 'newbie-tiny'}'\ntrain_data_dir = '{data.parent}'\n"
        f"output_dir = '{tmp_path / 'out'}'\nresolution = 256\nnum_epochs = 4\ntrain_batch_size = 3\n",
        encoding="utf-8",
    )
    return file


def test_the_table_names_phases_steps_time_and_disk(config: Path, capsys: Captured):
    assert main(["estimate", str(config)]) == 0
    told = capsys.readouterr().out
    assert "training" in told and "<- peak" in told and "Disk in GiB" in told
    # 4 squares and 2 wide pictures an epoch make 2 + 1 batches.
    assert "Steps: 12 (3 an epoch; an epoch shows 6 images" in told
    assert "unknown until the first steps" in told
    assert not (config.parent / "out").exists()


def test_what_cannot_be_validated_is_named(config: Path, capsys: Captured):
    for file in sorted(config.parent.glob("data/2_hero/*.png"))[1:]:
        file.unlink()
    for setting in ("validation_split = 0.3", "validation_every_n_steps = 3"):
        changed = config.with_name("changed.toml")
        changed.write_text(config.read_text(encoding="utf-8") + setting, encoding="utf-8")
        assert main(["estimate", str(changed)]) == 0 and f"note: {setting} " in capsys.readouterr().out


def test_json_and_several_gpus_without_loading_torch(config: Path):
    code = (
        "import sys, trainer_core.cli as c\n"
        f"assert c.main(['estimate', {str(config)!r}, '--json', '--gpus', '3']) == 0\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["steps"]["total_steps"] == 4 and told["world_size"] == 3
    assert told["peak"]["bytes"] == max(phase["bytes"] for phase in told["phases"])
    assert told["notes"] and not told["data_problem"]


def test_a_run_folder_is_a_config(config: Path, capsys: Captured):
    run = RunDir(config.parent / "out" / "moved")
    run.create(load_config(config))
    assert main(["estimate", str(run.path)]) == 0
    assert "Steps: 12" in capsys.readouterr().out


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_without_a_readable_data_set_memory_alone_is_told(config: Path, content: bytes | None, capsys: Captured):
    data = config.parent / "data" / "2_hero"
    for file in data.iterdir():
        file.unlink()
    if content:
        (data / "x.png").write_bytes(content)
    assert main(["estimate", str(config)]) == 0
    told = capsys.readouterr().out
    assert "data set cannot be read" in told and "training" in told and "Steps" not in told


def test_mistakes_are_told_in_words(config: Path, capsys: Captured):
    assert main(["estimate", str(config), "--gpus", "0"]) == 1
    assert main(["estimate", "nowhere.toml"]) == 2
    assert main(["estimate", str(config.parent / "data")]) == 2
    assert capsys.readouterr().err.count("error: ") == 3
