"""Each event once, whatever happens to the file in between."""

from pathlib import Path

import pytest

from newbie_gui.runs import tailing
from newbie_gui.runs.tailing import LogTail
from trainer_core.contracts.events import EventLog, truncate_after_step


def told(log: EventLog, *steps: int) -> None:
    for step in steps:
        log.emit("step", step=step, note="步" * 50)


def steps(tail: LogTail) -> list[int]:
    return [event["step"] for event in tail.events()]


def test_a_growing_log_is_read_once(tmp_path: Path) -> None:
    tail, file = LogTail(tmp_path / "events.jsonl"), tmp_path / "events.jsonl"
    assert steps(tail) == [] and not tail.restarted()
    log = EventLog(file)
    told(log, 1, 2)
    assert steps(tail) == [1, 2]
    told(log, 3)
    assert not tail.restarted() and steps(tail) == [3] and steps(tail) == []


def test_19_a_half_written_line_waits_for_its_end(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    tail = LogTail(file)
    file.write_bytes(b'{"step": 1}\n{"step"')
    assert steps(tail) == [1]
    with file.open("ab") as more:
        more.write(b": 2}\nnot json\n[3]\n")
    assert steps(tail) == [2]


def test_19_a_log_cut_by_a_resumed_run_is_read_anew_even_when_it_has_grown_past_the_old_end(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    log, tail = EventLog(file), LogTail(file)
    told(log, 1, 2, 3, 4)
    assert steps(tail) == [1, 2, 3, 4]
    truncate_after_step(file, 2)
    told(log, 3, 4, 5)
    assert tail.restarted() and steps(tail) == [1, 2, 3, 4, 5] and not tail.restarted()


def test_19_a_file_rewritten_in_place_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    tail = LogTail(file)
    file.write_bytes(b'{"step": 1}\n')
    assert steps(tail) == [1]
    file.write_bytes(b'{"step": 8}\n')
    assert tail.restarted() and steps(tail) == [8]


def test_a_deleted_log_starts_anew(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    tail = LogTail(file)
    told(EventLog(file), 1)
    assert steps(tail) == [1]
    file.unlink()
    assert tail.restarted() and steps(tail) == []


def test_lines_longer_than_a_piece_are_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tailing, "_PIECE", 16)
    tail = LogTail(tmp_path / "events.jsonl")
    told(EventLog(tmp_path / "events.jsonl"), *range(20))
    assert steps(tail) == list(range(20))
