"""The interpreter check and the two start scripts."""

import subprocess
import sys
from pathlib import Path

import pytest

from newbie_gui import bootstrap

ROOT = Path(__file__).resolve().parents[2]
OLD_PYTHONS = sorted(Path.home().glob(".pyenv/versions/[23].*/bin/python"))


@pytest.mark.parametrize("version", [(2, 7, 18), (3, 6, 15), (3, 10, 14), (3, 14, 0), (4, 0, 0)])
def test_other_pythons_are_refused_with_the_versions_and_the_place_to_get_one(version: tuple[int, ...]):
    message = bootstrap.refusal(version, 64)
    assert "3.11, 3.12 or 3.13" in message
    assert ".".join(map(str, version)) in message
    assert "python.org/downloads" in message


@pytest.mark.parametrize("version", [(3, 11, 0), (3, 12, 9), (3, 13, 1)])
def test_fitting_pythons_are_taken_unless_32_bit(version: tuple[int, ...]):
    assert bootstrap.refusal(version, 64) is None
    assert "64-bit" in bootstrap.refusal(version, 32)


def test_the_advice_names_a_way_for_each_system():
    assert "py install 3.13" in bootstrap.advice(True)
    for way in ("python3.12-venv", "uv python install 3.12", "pyenv install 3.12"):
        assert way in bootstrap.advice(False)


def test_bootstrap_uses_no_syntax_newer_than_the_oldest_python():
    text = (ROOT / "newbie_gui/bootstrap.py").read_text(encoding="ascii")
    # Annotations and f-strings are what would slip in first, and ast's feature_version lets f-strings pass.
    assert "->" not in text and 'f"' not in text and "f'" not in text
    assert text.isascii()


@pytest.mark.skipif(not OLD_PYTHONS, reason="no other Pythons (pyenv) on this machine")
@pytest.mark.parametrize("python", OLD_PYTHONS, ids=lambda path: path.parts[-3])
def test_every_python_gets_a_sentence_instead_of_a_traceback(python: Path):
    done = subprocess.run(
        [str(python), str(ROOT / "newbie_gui/bootstrap.py"), "help"],
        capture_output=True,
    )
    said = (done.stdout + done.stderr).decode()
    fits = python.parts[-3].startswith(("3.11.", "3.12.", "3.13."))
    assert ("launch.sh demo" if fits else "3.11, 3.12 or 3.13 is needed") in said
    assert done.returncode == (0 if fits else 1)
    assert "Traceback" not in said


@pytest.mark.skipif(sys.platform == "win32", reason="launch.sh is for Linux and macOS")
def test_launch_sh_says_so_where_no_python_is_found(tmp_path: Path):
    for tool in ("readlink", "dirname"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    command = ["/bin/sh", str(ROOT / "launch.sh"), "demo"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "3.11, 3.12 or 3.13 is needed, and no Python was found" in done.stderr
    assert "uv python install 3.12" in done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="launch.sh is for Linux and macOS")
@pytest.mark.parametrize("shell", [[], ["sh"], ["bash"]])
@pytest.mark.parametrize(("words", "code"), [(["nonsense"], 2), (["--help"], 0)])
def test_launch_sh_shows_its_commands(tmp_path: Path, shell: list[str], words: list[str], code: int):
    link = tmp_path / "start me"
    link.symlink_to(ROOT / "launch.sh")
    done = subprocess.run([*shell, str(link), *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == code
    assert "launch.sh demo" in done.stdout + done.stderr


def test_launch_bat_is_what_cmd_can_read():
    raw = (ROOT / "launch.bat").read_bytes()
    lines = raw.decode("ascii").splitlines()
    assert len(lines) <= 17
    assert raw.count(b"\r\n") == raw.count(b"\n") == len(lines)
    # Of a UNC path (a network folder) cmd can only be pushed into, not changed into.
    assert 'pushd "%~dp0"' in lines and "popd & exit /b %CODE%" in lines
    assert not any("where python" in line or "EnableDelayedExpansion" in line for line in lines)
    # Without `call` a python.bat (pyenv-win) would never come back.
    assert any('do call %%~p -c "" >nul' in line for line in lines)
    # The same question as launch.sh asks: a 3.14 or a 32-bit one is not taken where another one fits.
    [question] = [line.removeprefix("set FITS=") for line in lines if line.startswith("set FITS=")]
    assert not set(question) & set('%^<>|&"!')
    assert subprocess.run([sys.executable, "-c", question]).returncode == 0
    for other in ("3,14,0", "3,10,9", "2,7,18"):
        asked = question.replace("sys.version_info", f"({other})")
        assert subprocess.run([sys.executable, "-c", asked]).returncode == 1
    small = question.replace("sys.maxsize", str(2**31 - 1))
    assert subprocess.run([sys.executable, "-c", small]).returncode == 1
    assert any("newbie_gui\\bootstrap.py %*" in line for line in lines)
    assert any("pause" in line for line in lines)
    assert "launch.bat text eol=crlf" in (ROOT / ".gitattributes").read_text(encoding="ascii").splitlines()


def test_both_scripts_start_the_same_file_and_ci_runs_what_a_user_runs_with_a_browser_that_must_be_there():
    assert "newbie_gui/bootstrap.py" in (ROOT / "launch.sh").read_text(encoding="ascii")
    lines = (ROOT / ".ci/run").read_text(encoding="ascii").splitlines()
    assert lines[-2:] == ["export NEWBIE_REQUIRE_CHROMIUM=1", "exec ./launch.sh test"]
