import json
import os
from pathlib import Path

import pytest

from trainer_core.contracts.events import EventLog, failure_since, read_events, truncate_after_step


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def steps(path: Path) -> list[int]:
    return [event["step"] for event in read_events(path) if event["event"] == "step"]


def test_events_are_read_as_they_were_told(path: Path):
    log = EventLog(path)
    log.emit("step", step=1, loss=0.5)
    log.emit("sample", step=1, path=Path("猫.png"))
    first, second = read_events(path)
    assert [(first["event"], first["step"]), (second["event"], second["path"])] == [("step", 1), ("sample", "猫.png")]
    assert first["time"] > 1.7e9


def test_a_missing_log_has_no_events(path: Path):
    assert read_events(path) == []


def test_a_failure_stands_until_the_run_goes_on_with_less(path: Path):
    log = EventLog(path)
    assert failure_since(path, 0.0) is None
    for code in ("first", "second"):
        log.emit("failed", code=code)
        found = failure_since(path, 0.0)
        assert found is not None and found["code"] == code and failure_since(path, 2e10) is None
        log.emit("warning", message="of something else")
        assert failure_since(path, 0.0) == found
        log.emit("warning", message="less", settings={"train_batch_size": 1})
        assert failure_since(path, 0.0) is None


def test_numbers_that_are_not_finite_become_null(path: Path):
    EventLog(path).emit("step", step=1, loss=float("nan"), extra={"norm": [float("inf"), 1.0]})
    event = read_events(path)[0]
    assert event["loss"] is None and event["extra"] == {"norm": [None, 1.0]}


def test_a_line_is_one_line_whatever_it_says(path: Path):
    message = "two\nlines\r\x85\u2028 " + os.fsdecode(b"\xff")
    EventLog(path).emit("warning", message=message)
    assert path.read_bytes().count(b"\n") == 1
    assert read_events(path)[0]["message"] == message


def test_an_unfinished_line_waits_for_its_end(path: Path):
    path.write_bytes(b'{"event": "step", "step": 1}\n{"event": "st')
    before = steps(path)
    with path.open("ab") as file:
        file.write(b'ep", "step": 2}\n')
    assert (before, steps(path)) == ([1], [1, 2])


def test_unparsable_lines_are_skipped(path: Path):
    path.write_bytes(b'\0\0\0\n[1]\n"x"\n\xff\xfe\n\n' + b"[" * 100_000 + b'\n{"event": "step", "step": 3}\n')
    assert steps(path) == [3]


@pytest.mark.parametrize("tail", [b'{"event": "st', b"\0" * 100, b"x" * 200_000], ids=["part", "zeros", "long"])
def test_a_torn_end_is_cut_off_before_writing_goes_on(path: Path, tail: bytes):
    path.write_bytes(b'{"event": "step", "step": 1}\n' + tail)
    EventLog(path).emit("step", step=2)
    assert [json.loads(line)["step"] for line in path.read_bytes().splitlines()] == [1, 2]


def test_a_whole_line_without_its_break_is_kept(path: Path):
    path.write_bytes(b'{"event": "step", "step": 1}')
    EventLog(path).emit("step", step=2)
    assert steps(path) == [1, 2]


def test_opening_a_whole_log_changes_nothing(path: Path):
    path.write_bytes(b'{"event": "step", "step": 1}\n')
    EventLog(path)
    assert path.read_bytes() == b'{"event": "step", "step": 1}\n'


def test_resuming_leaves_no_ghosts(path: Path):
    log = EventLog(path)
    for kind, step in [("started", 0), ("step", 1), ("warning", 2), ("step", 2), ("export", 2), ("advice", 2)]:
        log.emit(kind, step=step)
    truncate_after_step(path, 1)
    log.emit("step", step=2)
    found = [(event["event"], event["step"]) for event in read_events(path)]
    assert found == [("started", 0), ("step", 1), ("warning", 2), ("step", 2)]


def test_a_run_that_begins_anew_drops_what_came_before_its_first_step(path: Path):
    log = EventLog(path)
    for kind in ("started", "validation", "sample"):
        log.emit(kind, step=0)
    truncate_after_step(path, -1)
    assert [event["event"] for event in read_events(path)] == ["started"]


def test_a_log_without_ghosts_is_left_alone(path: Path):
    truncate_after_step(path, 3)
    assert not path.exists()
    EventLog(path).emit("step", step=3)
    before = path.stat().st_ino
    truncate_after_step(path, 3)
    assert path.stat().st_ino == before


def test_a_line_that_did_not_fit_leaves_nothing(path: Path):
    resource = pytest.importorskip("resource", reason="needs file size limits")
    log = EventLog(path)
    log.emit("step", step=1)
    whole = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="No space"):
            log.emit("step", step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == whole


def test_unknown_kinds_are_our_own_mistake(path: Path):
    with pytest.raises(AssertionError):
        EventLog(path).emit("stpe")
    assert not path.exists()
