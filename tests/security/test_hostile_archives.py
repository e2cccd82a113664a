"""Zips made to hurt, through the job that takes uploads in: what is refused is named, nothing lands elsewhere."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from dataset_desk import Desk
from hostile_archives import (
    Entry,
    archive,
    bomb,
    empty_entries,
    fuzzed,
    named,
    overlapping,
    picture,
    refused_entries,
    taken_names,
)

from newbie_gui.texts import Texts
from trainer_core.dataset.importing import run

SEED = 20_251_125
REFUSED, TAKEN = list(refused_entries()), list(taken_names())


def everything(desk: Desk) -> set[str]:
    """All files around the workspace, apart from what the import itself keeps there."""
    root = desk.workspace.root.parent
    own = (desk.job.folder.path, desk.workspace.root / ".cache", desk.workspace.private)
    return {
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and not any(path.is_relative_to(folder) for folder in own)
    }


def take(desk: Desk, data: bytes) -> dict:
    place = desk.workspace.uploads / "x.zip"
    place.write_bytes(data)
    spec = {"workspace": str(desk.workspace.root), "folder": str(desk.folder), "concept": "", "files": [str(place)]}
    return dict(run(spec, desk.job))


def pictures(desk: Desk) -> list[str]:
    return sorted(path.name for path in desk.folder.rglob("*") if path.is_file())


def reasons(result: dict) -> list[str]:
    found = [refused["reason"] for refused in result["list"]]
    assert [reason for reason in found if f"dataset.refused.{reason}" not in Texts("en")] == []
    return found


def around(desk: Desk) -> list[str]:
    """What lies outside of the data set and of what the index makes of it."""
    return sorted(name for name in everything(desk) if "datasets/cats/" not in name and "thumb" not in name)


@pytest.mark.parametrize(("reason", "data"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_27_a_hostile_entry_is_refused_by_name_and_costs_no_other(desk: Desk, reason: str, data: bytes):
    before = around(desk)
    result = take(desk, data)
    assert (reasons(result), pictures(desk)) == ([reason], ["good.png"])
    assert [name for name in around(desk) if name not in before and "good" not in name and ".webp" not in name] == []


@pytest.mark.parametrize(("name", "data"), [case[1:] for case in TAKEN], ids=[case[0] for case in TAKEN])
def test_names_of_every_kind_become_safe_ones(desk: Desk, name: str, data: bytes):
    result = take(desk, data)
    assert (reasons(result), pictures(desk)) == ([], sorted(["good.png", name]))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (bomb(200), "zip_ratio"),
        (empty_entries(100_000), "zip_entries"),
        (overlapping(12_000), "zip_entries"),
        (archive([]) + b"\0" * 100, ""),
        (b"PK\x05\x06" + b"\xff" * 18, "zip_broken"),
    ],
    ids=["bomb", "100,000 entries", "overlapping", "empty", "a list of everything"],
)
def test_27_a_hostile_zip_is_refused_whole_and_soon(desk: Desk, data: bytes, reason: str):
    started = time.process_time()
    result = take(desk, data)
    assert time.process_time() - started < 10
    assert reasons(result) == ([reason] if reason else []) and pictures(desk) == []


def test_entries_that_overlap_are_never_unpacked_twice(desk: Desk):
    result = take(desk, overlapping(50))
    assert result["added"] <= 1 and set(reasons(result)) <= {"zip_broken", "duplicate"}


def test_a_self_extracting_zip_is_a_zip(desk: Desk):
    assert take(desk, archive([Entry(name=b"a.png", data=picture(1))], before=b"MZ" + bytes(99)))["added"] == 1


@pytest.mark.parametrize("share", range(0, 100, 10))
def test_a_zip_cut_off_anywhere_is_refused(desk: Desk, share: int):
    whole = named("a.png")
    assert reasons(take(desk, whole[: len(whole) * share // 100])) == ["zip_broken"] and pictures(desk) == []


@pytest.mark.skipif(sys.platform == "win32", reason="names as POSIX systems keep them")
def test_fuzzed_zips_crash_nothing_and_leave_nothing(desk: Desk, record_figure: Callable[[str, str], None]):
    count = 150
    for data in fuzzed(SEED, count):
        result = take(desk, data)
        told = json.loads((desk.job.folder.path / "refused.json").read_text(encoding="utf-8"))
        assert len(told) == result["refused"] >= len(reasons(result))
        assert not os.listdir(desk.workspace.uploads) and not (desk.folder / ".import").exists()
    assert [name for name in pictures(desk) if Path(name).suffix not in (".png", ".txt")] == []
    tried = count + len(REFUSED) + len(TAKEN) + 5 + 10
    record_figure("hostile: archives", f"{tried} / {tried}")
