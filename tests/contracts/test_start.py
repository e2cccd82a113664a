"""How the scripts start: a Python that cannot run them, and Ctrl+C at any time."""

import subprocess
import sys
from pathlib import Path

import pytest

from trainer_core.contracts import start as starting

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ("app.py", "train_newbie_lora.py", "merge_lora.py", "convert_newbie_to_diffusers.py")
OLD_PYTHONS = sorted(Path.home().glob(".pyenv/versions/3.[89].*/bin/python"))


def interrupted() -> int:
    raise KeyboardInterrupt


def test_ctrl_c_is_one_line_and_the_exit_code_asked_for(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        starting.start(interrupted)
    assert ended.value.code == 130 and capsys.readouterr().err == "interrupted\n"
    with pytest.raises(SystemExit) as ended:
        starting.start(interrupted, interrupted="closed", code=0)
    assert ended.value.code == 0 and capsys.readouterr().err == "closed\n"


def test_a_python_that_cannot_run_it_is_told_apart():
    assert starting.lacking((3, 11), ("json",)) == ""
    assert "3.11 or newer" in starting.lacking((3, 10), ())
    assert starting.lacking((3, 12), ("json", "no_such_thing")) == "does not have no_such_thing"
    assert ".venv\\Scripts\\python" in starting.advice(windows=True)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_python_without_the_packages_gets_a_sentence(script: str):
    # -I -S: no site-packages, as the Python of a system has none of ours.
    code = f"import runpy, sys; sys.path.insert(0, {str(ROOT)!r}); runpy.run_path({script!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "does not have torch, diffusers, transformers" in done.stderr and ". Run it with .venv" in done.stderr


@pytest.mark.skipif(not OLD_PYTHONS, reason="no Python 3.8 or 3.9 (pyenv) on this machine")
@pytest.mark.parametrize("script", SCRIPTS)
def test_an_old_python_gets_a_sentence(script: str):
    done = subprocess.run([str(OLD_PYTHONS[0]), script, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "3.11 or newer is needed. Run it with .venv" in done.stderr
