"""train_newbie_lora.py: the classic command line over the trainer."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "train_newbie_lora.py"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], cwd=folder, capture_output=True, text=True)


def test_help_names_the_classic_option(tmp_path: Path):
    done = run(tmp_path, "--help")
    assert done.returncode == 0 and "--config_file" in done.stdout


@pytest.mark.parametrize("option", ["--config_file", "--config"])
def test_a_bad_config_is_told_and_writes_nothing(option: str, tmp_path: Path):
    (tmp_path / "bad.toml").write_text("resolution = 1\nsede = 2\n")
    done = run(tmp_path, option, "bad.toml", "--check")
    assert done.returncode == 2 and "resolution" in done.stderr and '"seed"' in done.stderr
    assert "Traceback" not in done.stderr and len(list(tmp_path.iterdir())) == 1
