"""The page of promises is true to the tests: each that it names exists, each requirement has one, figures are n / n."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPEC = importlib.util.spec_from_file_location("refresh_reliability", ROOT / "docs" / "refresh_reliability.py")
assert SPEC and SPEC.loader
page = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(page)


@pytest.mark.parametrize("promise", page.promises()["promise"], ids=lambda promise: promise["figure"])
def test_every_test_that_a_promise_names_exists(promise: dict):
    for test in promise["tests"]:
        file, name = test.split("::")
        assert f"def {name}(" in (ROOT / "tests" / file).read_text(encoding="utf-8"), test


def test_each_of_the_forty_requirements_has_a_test_of_its_number():
    told, found = page.promises()["requirements"], page.numbered_tests()
    assert sorted(told) == [f"{number:02d}" for number in range(1, 41)]
    assert set(told) - set(found) == set()
    assert set(found) - set(told) == set(), "a test's name begins with the number of no requirement"


def test_the_page_has_the_promises_and_the_tests_as_they_are(tmp_path: Path):
    written = page.PAGE.read_text(encoding="utf-8")
    assert page.refreshed(written, tmp_path / "none.json") == written, "run python docs/refresh_reliability.py"


def test_every_figure_on_the_page_is_whole():
    for text, name in page._FIGURE.findall(page.PAGE.read_text(encoding="utf-8")):
        counted = re.fullmatch(r"(\d+) / (\d+) \(\d{4}-\d\d-\d\d\)", text)
        assert text == page.NONE or "%" in name or (counted and counted[1] == counted[2]), (name, text)


def test_a_long_form_stands_beside_the_short_one(tmp_path: Path):
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"hostile: texts, long form": {"value": "99 / 99", "date": "2030-01-02"}}))
    written = page.PAGE.read_text(encoding="utf-8")
    changed = page.refreshed(written, figures)
    assert "<br>long form: 99 / 99 (2030-01-02) <!-- hostile: texts, long form --> |" in changed
    assert page.refreshed(changed, tmp_path / "none.json") == changed, "the long form was lost without its build"


def test_a_new_figure_replaces_the_old_and_the_others_stay(tmp_path: Path):
    figures = tmp_path / "figures.json"
    figures.write_text(json.dumps({"hostile: texts": {"value": "9 / 9", "date": "2030-01-02"}}))
    written = page.PAGE.read_text(encoding="utf-8")
    changed = page.refreshed(written, figures)
    assert "| 9 / 9 (2030-01-02) <!-- hostile: texts --> |" in changed
    lines = zip(changed.splitlines(), written.splitlines(), strict=True)
    assert len([new for new, old in lines if new != old]) == 1
    assert page.refreshed(changed, tmp_path / "none.json") == changed, "a figure was lost without its build"
