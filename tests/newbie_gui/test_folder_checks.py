"""What is said before set-up writes anything: no room, a long path, a folder that cannot be written."""

import errno
from pathlib import Path
from types import SimpleNamespace

import pytest

from newbie_gui import environment, folder_checks
from newbie_gui.environment import Project, SetupError

GB = 10**9


def test_too_little_room_is_said_with_what_is_needed_and_free():
    folder_checks.check_room(4 * GB, nvidia=False)
    with pytest.raises(SetupError, match="needs 4 GB .* and 3.9 GB are free"):
        folder_checks.check_room(3_900_000_000, nvidia=False)
    with pytest.raises(SetupError, match="needs 10 GB"):
        folder_checks.check_room(9 * GB, nvidia=True)


def test_a_long_path_is_refused_on_a_windows_without_long_paths_only():
    long, short = "C:\\" + 58 * "x", "C:\\newbie"
    with pytest.raises(SetupError, match=r"has 61 characters.*C:\\newbie"):
        folder_checks.check_path(long, windows=True, long_paths=lambda: False)
    folder_checks.check_path(long, windows=True, long_paths=lambda: True)
    folder_checks.check_path(long, windows=False, long_paths=lambda: False)
    folder_checks.check_path(short, windows=True, long_paths=lambda: False)


@pytest.mark.parametrize("problem", [errno.EROFS, errno.ENOSPC])
def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: int):
    def fail(project: Project, *, dev: bool) -> None:
        raise OSError(problem, "No way", str(project.build))

    monkeypatch.setattr(environment, "ensure", fail)
    monkeypatch.setattr(folder_checks, "check_room", lambda free, *, nvidia: None)
    with pytest.raises(SetupError, match=rf"build: No way. Set-up must be able to read and write in {tmp_path}"):
        folder_checks.ensure(Project(tmp_path), dev=False)


def test_only_the_first_set_up_asks_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environment, "ensure", lambda project, *, dev: None)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=GB))
    with pytest.raises(SetupError, match="1.0 GB are free"):
        folder_checks.ensure(Project(tmp_path), dev=False)
    (tmp_path / ".venv").mkdir()
    folder_checks.ensure(Project(tmp_path), dev=False)
