"""`doctor` as people call it."""

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from PIL import Image

from trainer_core.contracts.config import TrainConfig, to_toml

ROOT = Path(__file__).parents[2]


def doctor(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "trainer_core", "doctor", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, encoding="utf-8")


def test_the_page_shows_no_name_no_home_and_no_token(tmp_path: Path):
    home = tmp_path / "annaliese"
    (home / "pictures").mkdir(parents=True)
    Image.new("RGB", (64, 64)).save(home / "pictures" / "1.png")
    config = TrainConfig(base_model_path=str(home / "base"), train_data_dir=str(home / "pictures"))
    (home / "my.toml").write_text(to_toml(config))
    done = doctor(str(home / "my.toml"), HOME=str(home), USERPROFILE=str(home), HF_TOKEN="hf_topsecret")
    assert done.returncode == 0 and done.stderr == ""
    assert "~/base" in done.stdout.replace("\\", "/") and "1 images (1 with repeats), 1 without caption" in done.stdout
    assert f"torch: {version('torch')}" in done.stdout and "GPU usable: " in done.stdout
    assert "annaliese" not in done.stdout and "topsecret" not in done.stdout


def test_a_console_that_cannot_show_chinese_gets_the_rest():
    command = [sys.executable, "-m", "trainer_core", "presets"]
    variables = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0 and "24gb" in done.stdout
