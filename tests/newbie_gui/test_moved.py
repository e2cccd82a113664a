"""A real, empty .venv in a folder that is renamed."""

import subprocess
import sys
from pathlib import Path

import pytest

from newbie_gui import moved
from newbie_gui.environment import Project


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_activate_and_commands_of_a_renamed_folder_find_their_python_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    before, after = Project(tmp_path / "x"), Project(tmp_path / "y" / "x")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(before.venv)], check=True)
    settings = before.venv / "pyvenv.cfg"
    # As make_venv does it, whose command line is kept there.
    settings.write_text(settings.read_text().replace(" --without-pip", ""))
    assert moved.made_in(settings) == str(before.venv)
    command = before.python.with_name("tool")
    command.write_text(f"#!{before.python}\nimport sys; print(sys.prefix)\n")
    command.chmod(0o755)
    after.root.parent.mkdir()
    before.root.rename(after.root)

    moved.mend(after)
    assert f"this folder was {before.root} before" in capsys.readouterr().out
    activate = f'. "{after.python.parent}/activate" && tool'
    done = subprocess.run(["sh", "-c", activate], capture_output=True, text=True)
    assert done.stdout.strip() == str(after.venv), done.stderr
    moved.mend(after)
    assert capsys.readouterr().out == ""


def test_a_linked_venv_and_none_at_all_are_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    here, other = Project(tmp_path / "here"), Project(tmp_path / "other")
    moved.mend(here)
    other.venv.mkdir(parents=True)
    (other.venv / "pyvenv.cfg").write_text(f"command = /usr/bin/python3 -m venv {other.venv}\n")
    here.root.mkdir()
    here.venv.symlink_to(other.venv)
    moved.mend(here)
    assert capsys.readouterr().out == ""
