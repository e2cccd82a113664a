"""Captions made to hurt, from the file to what the encoder is given: kept as they are or refused by name."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from picture_files import put

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.caption_edits import checked_edit, edit_all
from trainer_core.dataset.caption_files import MAX_CAPTION_BYTES, read_caption_file, write_caption_file
from trainer_core.dataset.captions import CaptionRules, gemma_text, tags_of
from trainer_core.dataset.scan import scan_dataset

# Ten levels of ten: a parser that follows them makes ten gigabytes of this.
BILLION = "<!DOCTYPE x [<!ENTITY a0 'lol'>" + "".join(
    f"<!ENTITY a{level + 1} '{f'&a{level};' * 10}'>" for level in range(10)
)
TEXTS = {
    "one megabyte": "a" * MAX_CAPTION_BYTES,
    "a megabyte of tags": ", ".join(["1girl"] * 149_000),
    "bidi": "\u202egirl\u202c, \u2066hat\u2069, \u200f\u200e, a\u061cb",
    "emoji": "👩‍👩‍👧‍👦, 🏳️‍🌈, 👍🏽, \U0001f9d1\u200d\U0001f680",
    "script": "<script>alert(1)</script>, <img src=x onerror=alert(1)>, \"'><svg onload=alert(1)>",
    "entities": f"{BILLION}]><caption>&a10;</caption>",
    "outside entity": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><caption>&e;</caption>',
    "deep": "<a>" * 100_000 + "x" + "</a>" * 100_000,
    "unclosed": "<character_1><n>anna</n>" * 10_000,
    "combining": "e" + "\u0301" * 50_000,
    "control characters": "bell \x07, escape \x1b[31m, delete \x7f",
    "template": "{{7*7}} ${7*7} %s %(x)s {0.__class__} #{7*7}",
    "spaces only inside": "a,\u3000,\u2003, b",
    "private use": "\ue000\U0010ffff\ufffe",
}
BYTES = {
    "NUL": b"a girl\0, a hat",
    "UTF-16 with its mark": "猫, ü".encode("utf-16"),
    "UTF-16 without": "a cat".encode("utf-16-be"),
    "UTF-32": "cat".encode("utf-32"),
    "a lone surrogate": b"\xed\xa0\x80, girl",
    "overlong": b"\xc0\xae\xc0\xae/girl",
    "GBK": "猫, 少女".encode("gbk"),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
    "one byte too much": b"a" * (MAX_CAPTION_BYTES + 1),
}


def scanned(root: Path, data: bytes) -> str | list[str]:
    """The caption that training gets, or the reasons why the picture is left out."""
    put(root / "good.png", "good")
    put(root / "hostile.png").with_suffix(".txt").write_bytes(data)
    found = scan_dataset(root, strict=False)
    captions = {item.path.name: item.caption for item in found.items}
    assert captions["good.png"] == "good"
    return captions.get("hostile.png", [p.message for p in found.problems])


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_text_reaches_the_encoder_as_it_is(tmp_path: Path, name: str, right):
    caption = scanned(tmp_path, TEXTS[name].encode())
    assert caption == TEXTS[name]
    started = time.process_time()
    [mixed] = CaptionRules(shuffle=True, keep_tokens=1).made(caption)
    assert sorted(tags_of(mixed)) == sorted(tags_of(caption))
    [only] = CaptionRules().made(caption)
    assert gemma_text(only, "tags ", "xml ").endswith(TEXTS[name])
    assert time.process_time() - started < 5
    # Nothing is expanded, fetched or dropped, whatever stands there.
    assert len(mixed) <= len(caption) + 2 * len(tags_of(caption))
    right.add()


@pytest.mark.parametrize("name", BYTES)
def test_bytes_that_are_no_text_cost_their_picture_by_name(tmp_path: Path, name: str, right):
    told = scanned(tmp_path, BYTES[name])
    assert isinstance(told, list) and any("hostile.txt" in message for message in told)
    assert read_caption_file(tmp_path / "hostile.txt").state in ("encoding", "unreadable")
    right.add()


@pytest.mark.parametrize(("data", "text"), [
    ("\ufeffmark, girl".encode(), "mark, girl"),
    (b"one\r\ntwo\r\n", "one\ntwo"),
    (b"one\rtwo", "one\ntwo"),
    ("\ufeff".encode(), ""),
])  # fmt: skip
def test_marks_and_line_breaks_of_every_system(tmp_path: Path, data: bytes, text: str, right):
    assert scanned(tmp_path, data) == text
    right.add()


@pytest.mark.parametrize("name", TEXTS)
def test_the_editor_writes_and_reads_a_hostile_text_unchanged(tmp_path: Path, name: str, right):
    image = put(tmp_path / "a.png")
    file = write_caption_file(image, None, TEXTS[name])
    assert read_caption_file(file).text == TEXTS[name].strip() and len(list(tmp_path.iterdir())) == 2
    right.add()


@pytest.mark.parametrize(("text", "code"), [
    ("a\0b", "caption_not_text"), ("\ud800", "caption_not_text"), ("a" * (MAX_CAPTION_BYTES + 1), "caption_too_long"),
    ("猫" * (MAX_CAPTION_BYTES // 3 + 1), "caption_too_long"),
])  # fmt: skip
def test_the_editor_refuses_what_is_no_caption_and_keeps_the_old_one(tmp_path: Path, text: str, code: str, right):
    image = put(tmp_path / "a.png", "old")
    with pytest.raises(UserError) as caught:
        write_caption_file(image, image.with_suffix(".txt"), text)
    assert caught.value.code == code and image.with_suffix(".txt").read_text() == "old"
    right.add()


@pytest.mark.parametrize("kind", ["prefix", "append", "replace", "remove_tag", "rename_tag", "sort", "dedupe", "regex"])
def test_every_bulk_edit_gets_through_every_hostile_text(kind: str):
    started = time.process_time()
    edit = checked_edit(kind, "1girl", "hat", match_case=False)
    edited = list(edit_all([*TEXTS.values()], edit))
    assert len(edited) == len(TEXTS) and time.process_time() - started < 20


def test_texts_figure(record_figure: Callable[[str, str], None], right):
    """Fails where a table was lost."""
    count = 2 * len(TEXTS) + len(BYTES) + 4 + 4
    assert len(TEXTS) >= 14 and len(BYTES) >= 9
    record_figure("hostile: texts", f"{right.count} / {count}")
