"""The command for a card: every case is one that its benchmark takes, and a piece goes on where the last one ended."""

import json
from pathlib import Path
from typing import Any

import pytest

from bench import gpu, preflight, sampling, step
from bench.encoders import main as encoders


@pytest.mark.parametrize("tiny", [True, False])
def test_every_case_is_understood(tiny: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    taken: list[Any] = []
    monkeypatch.setattr(step, "measure", lambda config, dims, options: taken.append(config) or {})
    monkeypatch.setattr(sampling, "measure", lambda config, dims, options: taken.append(config) or {})
    monkeypatch.setattr(preflight, "measure", lambda *_: taken.append(None) or {})
    monkeypatch.setattr("bench.encoders.measure", lambda *_: taken.append(None) or {})
    monkeypatch.setattr("bench.encoders.pick_device", lambda _: None)
    mains = {"step": step.main, "sampling": sampling.main, "encoders": encoders, "preflight": preflight.main}
    for name, (part, *flags) in gpu.cases(tiny=tiny):
        assert mains[part](flags) == 0, (name, capsys.readouterr().err)
    named = [name for name, _ in gpu.cases(tiny=tiny)]
    assert len(taken) == len(named) == len(set(named)) > 20


def test_a_piece_ends_in_time_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    ran: list[str] = []

    def fails_once(command: tuple[str, ...]) -> dict[str, Any]:
        ran.append(command[0])
        return {"error": "out of memory"} if len(ran) == 1 else {"figure": len(ran)}

    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "run", fails_once)
    monkeypatch.setattr(gpu, "has_card", lambda: True)
    monkeypatch.setattr(gpu, "cases", lambda tiny: [(name, (name,)) for name in ("a", "b", "c")])
    clock = iter([0.0, 0.0, 50.0, 50.0])
    monkeypatch.setattr(gpu.time, "monotonic", lambda: next(clock))
    # The first took 50 s; another such would end after the minute.
    assert gpu.main(["--minutes", "1"]) == gpu.LEFT and ran == ["a"]
    monkeypatch.undo()
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "run", fails_once)
    monkeypatch.setattr(gpu, "has_card", lambda: True)
    monkeypatch.setattr(gpu, "cases", lambda tiny: [(name, (name,)) for name in ("a", "b", "c")])
    capsys.readouterr()
    assert gpu.main([]) == 0 and ran == ["a", "b", "c"]
    printed = capsys.readouterr().out
    assert "out of memory" in printed and "3 of 3 cases measured" in printed
    assert json.loads((tmp_path / "build" / "bench-gpu.json").read_text())["c"] == {"figure": 3}


def test_without_a_card_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(gpu, "ROOT", tmp_path)
    monkeypatch.setattr(gpu, "has_card", lambda: False)
    assert gpu.main([]) == 1 and "--size tiny" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
