"""`python -m bench`: one table, one dated file, and a part that fails is no end."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import __main__ as command


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    (tmp_path / "bench").mkdir()
    for file in (command.REPOSITORY / "bench").glob("*.py"):
        (tmp_path / "bench" / file.name).symlink_to(file)
    (tmp_path / "trainer_core").symlink_to(command.REPOSITORY / "trainer_core")
    monkeypatch.setattr(command, "REPOSITORY", tmp_path)
    return tmp_path


def written(folder: Path) -> dict[str, Any]:
    (file,) = (folder / "build").glob("bench-*.json")
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return found


def test_tiers_are_counted_and_written_with_their_date(parts: Path, capsys: pytest.CaptureFixture[str]):
    assert command.main(["tiers", "--quick"]) == 0
    found = written(parts)
    assert found["quick"] is True and found["date"].startswith("20")
    assert set(found["tiers"]) == {"6gb", "8gb", "12gb", "16gb", "24gb", "40gb", "80gb"}
    assert "tiers     6gb.estimated_gib.training" in capsys.readouterr().out


def test_a_part_that_fails_is_said_and_the_others_go_on(parts: Path, monkeypatch: pytest.MonkeyPatch):
    (parts / "bench" / "broken.py").write_text("raise SystemExit('no such luck')", encoding="utf-8")
    monkeypatch.setattr(command, "PARTS", {"broken": ((), ()), "tiers": ((), ())})
    assert command.main(["--quick"]) == 1
    found = written(parts)
    assert found["broken"] == {"error": "no such luck"} and "6gb" in found["tiers"]


def test_a_part_that_there_is_not_is_named(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        command.main(["speed"])
    assert "no part speed; there are step" in capsys.readouterr().err
