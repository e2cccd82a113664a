import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from trainer_core.contracts import fsutil


def test_text_is_written_as_it_is(tmp_path: Path):
    fsutil.write_text_atomic(tmp_path / "a.txt", "猫\r\nb\n")
    assert (tmp_path / "a.txt").read_bytes() == "猫\r\nb\n".encode()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def disk_full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    fsutil.write_text_atomic(tmp_path / "a.txt", "old")
    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="No space"):
        fsutil.write_text_atomic(tmp_path / "a.txt", "new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_the_bytes_reach_the_disk_before_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    calls: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("fsync"))
    monkeypatch.setattr(os, "replace", lambda src, dst: calls.append("replace"))
    fsutil.write_text_atomic(tmp_path / "a.txt", "new")
    assert calls[:2] == ["fsync", "replace"]


@pytest.mark.parametrize("taken", [False, True])
def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path, taken: bool):
    goal = tmp_path / "made"
    if taken:
        goal.mkdir()
    with pytest.raises(RuntimeError), fsutil.whole_folder(goal) as temporary:
        temporary.mkdir()
        (temporary / "half").touch()
        raise RuntimeError
    assert list(tmp_path.rglob("*")) == ([goal] if taken else [])
    with fsutil.whole_folder(goal) as temporary:
        temporary.mkdir()
        (temporary / "whole").touch()
        assert not taken or not list(goal.iterdir())
    assert sorted(tmp_path.rglob("*")) == [goal, goal / "whole"]


def test_a_folder_with_something_in_it_is_not_replaced(tmp_path: Path):
    (tmp_path / "made" / "theirs").mkdir(parents=True)
    with pytest.raises(OSError), fsutil.whole_folder(tmp_path / "made") as temporary:
        temporary.mkdir()
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "made", tmp_path / "made" / "theirs"]
    fsutil.discard_folder(tmp_path / "made")
    assert list(tmp_path.iterdir()) == []


def test_what_can_be_made_again_waits_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: pytest.fail("waited"))
    (tmp_path / "deep").mkdir()
    with fsutil.whole_file(tmp_path / "deep" / "a", beside=tmp_path / "a", flush=False) as temporary:
        assert temporary.parent == tmp_path
        temporary.write_text("x")
    assert (tmp_path / "deep" / "a").read_text() == "x" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_browsers_cannot_parse(tmp_path: Path, number: float):
    with pytest.raises(ValueError, match="JSON"):
        fsutil.write_json_atomic(tmp_path / "a.json", {"loss": number})
    assert not list(tmp_path.iterdir())


def test_json_keeps_names_that_are_not_valid_unicode(tmp_path: Path):
    name = os.fsdecode(b"caf\xe9 \xe7\x8c\xab")
    fsutil.write_json_atomic(tmp_path / "a.json", {"name": name})
    assert json.loads((tmp_path / "a.json").read_bytes()) == {"name": name}


def test_replace_waits_for_a_file_that_is_open_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real, refusals = os.replace, iter([True, True, False])

    def busy_at_first(src: Path, dst: Path) -> None:
        if next(refusals):
            raise PermissionError(13, "in use")
        real(src, dst)

    monkeypatch.setattr(os, "replace", busy_at_first)
    (tmp_path / "new").write_text("x")
    fsutil.replace(tmp_path / "new", tmp_path / "old")
    assert (tmp_path / "old").read_text() == "x"


def test_a_lasting_refusal_gets_out():
    def refuse() -> None:
        raise PermissionError(13, "in use")

    with pytest.raises(PermissionError):
        fsutil.retry_when_shared(refuse, delays_s=(0.0, 0.0))


def test_sha256_of_a_file(tmp_path: Path):
    data = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(data)
    assert fsutil.sha256_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()


def test_what_a_killed_process_began_is_removed_and_nothing_else(tmp_path: Path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for pid in (dead.pid, os.getpid()):
        (tmp_path / f".a.png.{pid}.tmp").touch()
        (tmp_path / f".b-peft.{pid}.tmp").mkdir()
    for name in (".tmp", "a.tmp", ".a.x.tmp", f"a.{dead.pid}.tmp"):
        (tmp_path / name).touch()
    count = len(list(tmp_path.iterdir()))
    fsutil.remove_leftovers(tmp_path, older_than_s=60.0)
    fsutil.remove_leftovers(tmp_path / "nowhere")
    assert len(list(tmp_path.iterdir())) == count
    fsutil.remove_leftovers(tmp_path, "a.png")
    assert len(list(tmp_path.iterdir())) == count - 1
    fsutil.remove_leftovers(tmp_path)
    assert len(list(tmp_path.iterdir())) == count - 2 and (tmp_path / f".b-peft.{os.getpid()}.tmp").is_dir()
    fsutil.remove_leftovers(tmp_path, also_own=True)
    assert len(list(tmp_path.iterdir())) == count - 4


def test_what_another_machine_finishes_meanwhile_is_no_leftover(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    begun = tmp_path / ".a.safetensors.4194303.tmp"
    begun.touch()

    def named_meanwhile(pid: int) -> bool:
        begun.rename(tmp_path / "a.safetensors")
        return False

    monkeypatch.setattr(fsutil.psutil, "pid_exists", named_meanwhile)
    fsutil.remove_leftovers(tmp_path, older_than_s=3600.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("content", [None, b"", b"{", b"[1]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_json_object_is_read_as_empty(tmp_path: Path, content: bytes | None):
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    assert fsutil.read_json_object(tmp_path / "a.json") == {}
    fsutil.write_json_atomic(tmp_path / "a.json", {"猫": 1})
    assert fsutil.read_json_object(tmp_path / "a.json") == {"猫": 1}


def test_the_end_of_a_log_begins_with_a_whole_line(tmp_path: Path):
    (tmp_path / "log").write_bytes(b"first\nsecond\rthird\nlast")
    assert fsutil.tail(tmp_path / "log", 99) == b"first\nsecond\rthird\nlast"
    assert fsutil.tail(tmp_path / "log", 14) == b"third\nlast"
    assert fsutil.tail(tmp_path / "log", 3) == b""
