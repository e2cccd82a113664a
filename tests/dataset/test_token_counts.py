"""Remembered token counts: found again by text and tokenizer, never by accident."""

import json
from pathlib import Path

import pytest

from trainer_core.dataset import token_counts
from trainer_core.dataset.token_counts import TokenCounts, TokenQuestion, write_counts

QUESTION = TokenQuestion(base="/models/底模")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "counts.json"


def test_counts_are_found_again_and_grow(file: Path) -> None:
    counts = TokenCounts(file, QUESTION)
    assert counts.missing(["b", "a", "b"]) == ["b", "a"]
    write_counts(file, QUESTION, "t1", [], {"a": 7, "\udce9": 8})
    assert (counts.get("a"), counts.get("\udce9"), counts.get("b")) == (7, 8, None)
    write_counts(file, QUESTION, "t1", [], {"b": 9})
    assert (counts.get("a"), counts.get("b")) == (7, 9) and counts.missing(["a", "b"]) == []


def test_another_prompt_or_base_shares_only_what_is_the_same(file: Path) -> None:
    write_counts(file, QUESTION, "t1", [], {"a": 7})
    other = TokenQuestion(base="/models/b")
    assert TokenCounts(file, other).get("a") is None
    write_counts(file, other, "t1", [], {})
    assert TokenCounts(file, other).get("a") == 7
    assert TokenCounts(file, TokenQuestion(base=QUESTION.base, prompts=("", ""))).get("a") is None
    assert TokenCounts(file, TokenQuestion(base=QUESTION.base, gemma="/g")).get("a") is None


def test_a_changed_tokenizer_file_forgets_the_counts(file: Path, tmp_path: Path) -> None:
    source = tmp_path / "tokenizer.json"
    source.write_text("{}")
    write_counts(file, QUESTION, "t1", [source], {"a": 7})
    assert TokenCounts(file, QUESTION).get("a") == 7
    source.write_text("{ }")
    assert TokenCounts(file, QUESTION).get("a") is None


def test_only_the_newest_stay(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_counts, "MOST_COUNTS", 2)
    write_counts(file, QUESTION, "t1", [], {"a": 1, "b": 2})
    write_counts(file, QUESTION, "t1", [], {"a": 1, "c": 3})
    counts = TokenCounts(file, QUESTION)
    assert [counts.get(name) for name in "abc"] == [1, None, 3]


@pytest.mark.parametrize("text", ["", "[]", '{"bases": 3, "counts": {}}', '{"bases": {"x": 1}, "counts": {}}'])
def test_a_damaged_file_is_counted_anew(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    assert TokenCounts(file, QUESTION).get("a") is None
    write_counts(file, QUESTION, "t1", [], {"a": 7})
    assert TokenCounts(file, QUESTION).get("a") == 7


@pytest.mark.parametrize("base", [{}, {"files": [[]]}, {"files": [5]}, {"files": [["/a", 1]]}, {"files": None}])
def test_a_damaged_base_among_the_others_has_no_counts(file: Path, base: dict[str, object]) -> None:
    write_counts(file, QUESTION, "t1", [], {"a": 7})
    stored = json.loads(file.read_bytes())
    stored["bases"][TokenQuestion(base="/b").key] = {"tokenizer": "t1", **base}
    file.write_text(json.dumps(stored), encoding="utf-8")
    assert TokenCounts(file, TokenQuestion(base="/b")).get("a") is None
    assert TokenCounts(file, QUESTION).get("a") == 7
