import time

import pytest

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.caption_edits import checked_edit, edit_all

XML = "<character_1><n>cat girl</n><tags>solo, Solo, hat</tags></character_1><caption>A hat, worn.</caption>"
PROSE = "A girl with a hat stands, smiling. It rains."


def edited(caption: str, kind: str, text: str = "", new: str = "", *, match_case: bool = True) -> str:
    (result,) = edit_all([caption], checked_edit(kind, text, new, match_case=match_case))
    return result.text


@pytest.mark.parametrize(
    ("kind", "text", "new", "before", "after"),
    [
        ("prefix", "sks", "", "1girl, hat", "sks, 1girl, hat"),
        ("prefix", "sks", "", "sks, 1girl", "sks, 1girl"),
        ("prefix", "sks", "", "1girl, SKS, hat", "sks, 1girl, hat"),
        ("prefix", "sks", "", "", "sks"),
        ("prefix", "sks", "", PROSE, f"sks, {PROSE}"),
        ("prefix", "A girl", "", PROSE, PROSE),
        ("prefix", "sks, ", "", "1girl, hat", "sks, 1girl, hat"),
        ("prefix", "sks\uff0c", "", "sks, 1girl", "sks, 1girl"),
        ("prefix", "sks, 1girl", "", "hat", "sks, 1girl, hat"),
        ("prefix", "sks, 1girl,", "", "sks,1girl,hat", "sks,1girl,hat"),
        ("prefix", "sks,", "", PROSE, f"sks, {PROSE}"),
        ("prefix", "sks,", "", f"sks, {PROSE}", f"sks, {PROSE}"),
        ("append", "hat, cap,", "", "1girl, cap", "1girl, cap, hat"),
        ("append", "hat", "", "1girl, red hat", "1girl, red hat, hat"),
        ("append", "By sks.", "", f"{PROSE} By sks.", f"{PROSE} By sks."),
        ("append", "A hat, worn.", "", "1girl, A hat", "1girl, A hat, A hat, worn."),
        ("remove_tag", "hat,", "", "1girl, hat", "1girl"),
        ("rename_tag", "hat", "cap,", "1girl, hat, x", "1girl, cap, x"),
        ("append", "hat", "", "1girl", "1girl, hat"),
        ("append", "hat", "", "1girl, Hat, x", "1girl, Hat, x"),
        ("append", "hat", "", "", "hat"),
        ("append", "By sks.", "", PROSE, f"{PROSE} By sks."),
        ("replace", "hat", "cap", "hat, Hat", "cap, Hat"),
        ("replace", ".", r"\1", "a.b", r"a\1b"),
        ("regex", r"(\w+) hat", r"\1 cap", "red hat, blue hat", "red cap, blue cap"),
        ("remove_tag", "Hat", "", "1girl, hat, red hat", "1girl, red hat"),
        ("rename_tag", "hat", "cap", "hat, cap, x", "cap, x"),
        ("rename_tag", "hat", "cap", "x,y , cap,cap", "x,y , cap,cap"),
        ("sort", "", "", "b, A, c", "A, b, c"),
        ("dedupe", "", "", "b, a, B, a", "b, a"),
        ("sort", "", "", PROSE, PROSE),
        ("dedupe", "", "", XML, XML.replace("solo, Solo", "solo")),
        ("sort", "", "", XML, XML.replace("solo, Solo, hat", "hat, solo, Solo")),
        ("remove_tag", "solo", "", XML, XML.replace("solo, Solo, hat", "hat")),
        ("prefix", "sks", "", "女孩，帽子、伞", "sks, 女孩，帽子、伞"),
        ("append", "sks", "", "女孩，帽子，", "女孩，帽子, sks"),
        ("remove_tag", "帽子", "", "女孩，帽子、伞", "女孩，伞"),
        ("remove_tag", "b", "", "a\nb, c\nd, e", "a\nc\nd, e"),
        ("remove_tag", "e", "", "a\nb, c\nd, e", "a\nb, c\nd"),
        ("rename_tag", "a", "c", "a, b\nc, d", "b\nc, d"),
        ("dedupe", "", "", "伞，a、伞\na", "伞，a"),
        ("remove_tag", "伞", "", "伞，", ""),
        ("sort", "", "", "c, b\na", "a, b\nc"),
        ("prefix", "sks", "", XML, XML),
        ("append", "sks", "", XML, XML),
    ],
)
def test_edits(kind: str, text: str, new: str, before: str, after: str):
    assert edited(before, kind, text, new) == after


@pytest.mark.parametrize("kind", ["replace", "regex"])
def test_case_counts_only_when_asked(kind: str):
    assert edited("Hat, hat", kind, "hat", "x", match_case=False) == "x, x"
    assert edited("Hat, hat", kind, "hat", "x") == "Hat, x"


def test_what_makes_no_sense_is_left_alone_and_said():
    captions = [XML, PROSE, "b, a"]
    assert [r.left_alone for r in edit_all(captions, checked_edit("append", "x"))] == ["xml", "", ""]
    assert [r.left_alone for r in edit_all(captions, checked_edit("sort"))] == ["", "prose", ""]


@pytest.mark.parametrize(
    ("kind", "text", "new", "code"),
    [
        ("nonsense", "a", "", "edit_unknown"),
        ("prefix", " , ", "", "edit_empty"),
        ("replace", "", "x", "edit_empty"),
        ("rename_tag", "a", " ", "edit_empty"),
        ("remove_tag", "a, b", "", "edit_comma"),
        ("rename_tag", "女孩，伞", "", "edit_comma"),
        ("append", "x" * 1001, "", "edit_too_long"),
        ("regex", "x" * 301, "", "regex_too_complex"),
        ("regex", "((((a{100}){100}){100}){100})", "", "regex_too_complex"),
        ("regex", "a{,99999999999}", "", "regex_too_complex"),
        ("regex", "(", "", "regex_invalid"),
    ],
)
def test_edits_that_cannot_be_done_are_refused(kind: str, text: str, new: str, code: str):
    with pytest.raises(UserError) as caught:
        checked_edit(kind, text, new)
    assert caught.value.code == code


def test_a_pattern_that_explodes_is_stopped():
    start = time.monotonic()
    with pytest.raises(UserError) as caught:
        list(edit_all(["a" * 60 + "b"] * 3, checked_edit("regex", "(a|aa)+$")))
    assert caught.value.code == "regex_slow" and time.monotonic() - start < 20


def test_a_wrong_replacement_is_said():
    with pytest.raises(UserError) as caught:
        list(edit_all(["hat"], checked_edit("regex", "hat", r"\1")))
    assert caught.value.code == "regex_invalid"
