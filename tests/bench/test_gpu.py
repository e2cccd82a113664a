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


class Waiting:
    """A process that has begun: its place among all, and whether it was ended unused."""

    def __init__(self, name: str) -> None:
        self.name, self.killed = name, False

    def kill(self) -> None:
        self.killed = True

    def communicate(self) -> None:
        assert self.killed


def test_a_piece_ends_in_time_and_the_next_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    begun: list[Waiting] = []
    ran: list[str] = []

    def fails_once(process: Waiting) -> dict[str, Any]:
        ran.append(process.name)
        # The next one imports meanwhile.
        assert process.name == "c" or begun[-1].name > process.name
        return {"error": "error: out of memory"} if len(ran) == 1 else {"figure": len(ran)}

    clock = iter([0.0, 0.0, 50.0, 50.0, *[50.0] * 20])
    monkeypatch.setattr(gpu, "REPOSITORY", tmp_path)
    monkeypatch.setattr(gpu, "begin", lambda command: begun.append(Waiting(command[0])) or begun[-1])
    monkeypatch.setattr(gpu, "figures", fails_once)
    monkeypatch.setattr(gpu, "has_card", lambda: True)
    monkeypatch.setattr(gpu, "cases", lambda tiny: [(name, (name,)) for name in ("a", "b", "c")])
    monkeypatch.setattr(gpu.time, "monotonic", lambda: next(clock))
    # The first took 50 s; another such would end after the minute.
    assert gpu.main(["--minutes", "1"]) == gpu.LEFT and ran == ["a"]
    assert [process.killed for process in begun] == [False, True]
    file = tmp_path / "build" / "bench-gpu.json"
    # What broke without a word is tried again.
    file.write_text(json.dumps({**json.loads(file.read_text()), "b": {"error": "exit 1"}}))
    capsys.readouterr()
    assert gpu.main([]) == 0 and ran == ["a", "b", "c"]
    printed = capsys.readouterr().out
    assert "out of memory" in printed and "3 of 3 cases measured" in printed
    assert json.loads(file.read_text())["c"] == {"figure": 3}


def test_a_case_in_its_own_process(tmp_path: Path):
    flags = ("--size", "tiny", "--layers", "2", "--steps", "1", "--warmup", "1", "--caption-tokens", "16")
    settings = ('device="cpu"', 'optimizer_type="AdamW"', "resolution=64", 'mixed_precision="no"')
    told = gpu.figures(gpu.begin(("step", *flags, *(part for each in settings for part in ("--set", each)))))
    assert told["steps_timed"] == 1 and "% of the matrix rate" in gpu.row("a", told)
    # A part that ends at once: what each says of its own mistakes is tested with it, and its imports take seconds.
    assert "no_such_part" in gpu.figures(gpu.begin(("no_such_part",)))["error"]


def test_without_a_card_nothing_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(gpu, "REPOSITORY", tmp_path)
    monkeypatch.setattr(gpu, "has_card", lambda: False)
    assert gpu.main([]) == 1 and "--size tiny" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
