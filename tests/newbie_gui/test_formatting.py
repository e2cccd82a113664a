"""Sizes and times as people read them."""

import pytest

from newbie_gui.formatting import GIB, cut, date, duration, gib, size_text
from newbie_gui.texts import Lang, Texts


@pytest.mark.parametrize(
    ("size", "words"), [(GIB // 8, "0.12"), (GIB // 2, "0.5"), (23.44 * GIB, "23.4"), (1234 * GIB, "1,234")]
)
def test_gib_has_as_many_digits_as_are_worth_reading(size: float, words: str):
    assert gib(size) == words


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (-1, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (2**20 - 1, "1.0 MiB"),
        (2**30 - 1, "1.00 GiB"),
        (12 * GIB, "12.00 GiB"),
    ],
)
def test_a_size_has_the_largest_unit_of_which_there_is_one(count: int, words: str):
    assert size_text(count) == words


@pytest.mark.parametrize(
    ("seconds", "lang", "exact", "rough"),
    [
        (-5, "en", "0 s", "0 s"),
        (59.6, "en", "1 min 0 s", "1 min"),
        (754, "en", "12 min 34 s", "13 min"),
        (3599, "en", "59 min 59 s", "1 h 00 min"),
        (3900, "zh", "1 小时 05 分", "1 小时 05 分"),
        (200_000, "en", "2 d 7 h", "2 d 7 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, lang: Lang, exact: str, rough: str):
    t = Texts(lang)
    assert (duration(seconds, t), duration(seconds, t, roughly=True)) == (exact, rough)


def test_no_date_is_no_text():
    assert date(0) == ""


def test_a_long_text_is_cut_and_says_so():
    assert cut("abcd", 4) == "abcd" and cut("abcde", 4) == "abc…"
