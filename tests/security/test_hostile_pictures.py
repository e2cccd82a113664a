"""Pictures made to hurt: read in a process of their own, which must live, stay small and name every refusal."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from dataset_desk import Desk
from hostile_pictures import FORMATS, Hostile, cut, fuzzed, largest, odd, sound
from picture_files import bomb

from newbie_gui.texts import LANGS, Texts
from newbie_gui.translate import translate
from trainer_core.dataset.images import ImageProblem, load_rgb
from trainer_core.dataset.importing import run

ROOT = Path(__file__).parents[2]
READER = Path(__file__).with_name("picture_reader.py")
SEED = 20_251_125
FIGURE = "hostile: images refused or taken / tried"
# Decoded and as RGB; the largest that are allowed (64 megapixels) are a quarter of a gigabyte in each form.
PEAK_MIB, LARGEST_PEAK_MIB = 300, 1500
SECONDS = 20

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="peak memory is read the POSIX way")


@dataclass(frozen=True)
class Reading:
    """What the reading process told: outcome, error and seconds of each file, and its growth in MiB."""

    files: dict[str, dict]
    peak_mib: float


def read_all(folder: Path) -> Reading:
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(READER), str(folder)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=1800)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"died at {lines[-1:]}: {done.stderr}"
    return Reading({line["name"]: line for line in lines if "outcome" in line}, lines[-1]["peak_mib"])


def write_all(folder: Path, files: Iterable[bytes]) -> None:
    for count, data in enumerate(files):
        (folder / f"{count:06d}.png").write_bytes(data)


def wrong(case: Hostile, told: dict) -> bool:
    refused = told["outcome"] not in ("taken", "differs") and told["error"]
    right = {"": bool(told["error"]) or told["outcome"] == "taken", "refused": bool(refused)}
    return not right.get(case.outcome, told["outcome"] == case.outcome)


def read_cases(folder: Path, cases: list[Hostile], peak_mib: float) -> int:
    """Read them all, check every answer; returns how many."""
    write_all(folder, (case.data for case in cases))
    reading = read_all(folder)
    told = list(zip(cases, (reading.files[name] for name in sorted(reading.files)), strict=True))
    assert [(case.name, answer) for case, answer in told if wrong(case, answer)] == []
    assert [(case.name, answer) for case, answer in told if answer["seconds"] > SECONDS] == []
    assert reading.peak_mib < peak_mib
    return len(told)


def cases_and_fuzzed(count: int) -> list[Hostile]:
    """Every picture made by hand, and ``count`` fuzzed ones."""
    cases = [*(case for share in range(0, 101, 10) for case in cut(share)), *odd()]
    return cases + [Hostile(name=f"fuzzed {at}", data=d, outcome="") for at, d in enumerate(fuzzed(SEED, count))]


def test_every_hostile_picture_is_taken_or_refused_by_name(tmp_path: Path, record_figure: Callable[[str, str], None]):
    cases = cases_and_fuzzed(300)
    record_figure(FIGURE, f"{read_cases(tmp_path, cases, PEAK_MIB)} / {len(cases)}")


@pytest.mark.slow
def test_ten_thousand_fuzzed_pictures_crash_nothing(tmp_path: Path, record_figure: Callable[[str, str], None]):
    cases = [*cases_and_fuzzed(10_000), *largest()]
    record_figure(f"{FIGURE}, long form", f"{read_cases(tmp_path, cases, LARGEST_PEAK_MIB)} / {len(cases)}")


def test_26_a_bomb_of_17_kilobytes_is_refused_in_a_tenth_of_a_second(tmp_path: Path):
    path = tmp_path / "bomb.png"
    path.write_bytes(bomb(12_000, 12_000).ljust(17_582, b"\0"))
    started = time.process_time()
    with pytest.raises(ImageProblem, match="64 megapixels"):
        load_rgb(path)
    assert time.process_time() - started < 0.1


def test_whatever_is_refused_at_the_import_is_refused_in_words(desk: Desk):
    cases = [*(case for share in (30, 90) for case in cut(share)), *(c for c in odd() if len(c.data) < 100_000)]
    uploads = desk.workspace.uploads / "one"
    uploads.mkdir()
    for number, case in enumerate(cases):
        (uploads / f"{number}.jpg").write_bytes(case.data)
    spec = {"workspace": str(desk.workspace.root), "folder": str(desk.folder), "concept": ""}
    result = run({**spec, "files": [str(path) for path in sorted(uploads.iterdir())]}, desk.job)
    assert result["added"] + result["refused"] == len(cases) and result["added"] >= 5
    assert not list(desk.folder.rglob(".*")), "something half-done was left"
    for lang in LANGS:
        texts = Texts(lang)
        assert [refused for refused in result["list"] if f"dataset.refused.{refused['reason']}" not in texts] == []


@pytest.mark.parametrize("form", FORMATS)
def test_a_reason_to_refuse_is_said_in_chinese(tmp_path: Path, form: str):
    path = tmp_path / "a.png"
    path.write_bytes(sound(form)[: len(sound(form)) // 2])
    with pytest.raises(ImageProblem) as caught:
        load_rgb(path)
    said = translate(caught.value.message, "zh").removeprefix(str(path))
    assert any(words in said for words in ("损坏", "无法", "不是")), said
