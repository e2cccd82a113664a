"""The demo's folder is its own, and a demo that was stopped says so."""

from pathlib import Path
from typing import Any

import pytest

from trainer_core.cli import main
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.demo import TINY_BASE
from trainer_core.tools import demo
from trainer_core.tools.demo import run_demo


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A demo without its pictures, whose training is stopped."""
    monkeypatch.setattr(demo, "character_share", lambda *_, **named: (0.0, []))
    monkeypatch.setattr(demo, "run_training", lambda config: "stopped")


@pytest.mark.usefixtures("stopped")
def test_a_demo_that_is_stopped_ends_there_and_says_how_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "demo").mkdir()
    assert main(["demo", "--output", str(tmp_path / "demo")]) == 130
    assert "--keep" in capsys.readouterr().out and not (tmp_path / "demo" / "merged").exists()
    (tmp_path / "demo" / "nekorin").mkdir()
    run_demo(TINY_BASE, tmp_path / "demo", keep=True)
    assert (tmp_path / "demo" / "nekorin").exists()
    run_demo(TINY_BASE, tmp_path / "demo")
    assert not (tmp_path / "demo" / "nekorin").exists()


def test_a_second_demo_leaves_the_first_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "demo"

    def busy(*_: Any, **named: Any) -> Any:
        with pytest.raises(UserError, match="Another demo is at work"):
            run_demo(TINY_BASE, folder)
        assert (folder / "data").is_dir()
        raise UserError("done", "enough")

    monkeypatch.setattr(demo, "character_share", busy)
    with pytest.raises(UserError, match="enough"):
        run_demo(TINY_BASE, folder)


@pytest.mark.usefixtures("stopped")
def test_a_run_that_is_gone_on_with_is_left_alone(tmp_path: Path) -> None:
    run_demo(TINY_BASE, tmp_path / "demo")
    with RunDir(tmp_path / "demo" / "nekorin").lock(), pytest.raises(UserError, match="Another trainer is at work"):
        run_demo(TINY_BASE, tmp_path / "demo")
    assert (tmp_path / "demo" / "nekorin").exists()


@pytest.mark.parametrize("command", [["demo"], ["sample", "--prompt", "1girl"]])
def test_a_file_is_no_place_for_pictures(
    command: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pic.png").write_bytes(b"mine")
    assert main([*command, "--output", str(tmp_path / "pic.png")]) == 1
    assert "pic.png is a file" in capsys.readouterr().err and (tmp_path / "pic.png").read_bytes() == b"mine"


def test_a_folder_of_something_else_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(UserError, match="no demo made"):
        run_demo(TINY_BASE, tmp_path)
    assert (tmp_path / "mine").exists()
