"""train_newbie_lora.py: the classic command line over the trainer."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "train_newbie_lora.py"


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(SCRIPT), *arguments], cwd=folder, capture_output=True, text=True)


def test_a_bad_config_is_told_and_writes_nothing(tmp_path: Path):
    """By the option's short form; the whole one trains in run/test_processes.py."""
    (tmp_path / "bad.toml").write_text("resolution = 1\nsede = 2\n")
    done = run(tmp_path, "--config", "bad.toml", "--check")
    assert done.returncode == 2 and "resolution" in done.stderr and '"seed"' in done.stderr
    assert "Traceback" not in done.stderr and len(list(tmp_path.iterdir())) == 1
