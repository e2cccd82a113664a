"""Both languages say everything, with the same values in it."""

import re
from string import Formatter

import pytest

from newbie_gui.texts import LANGS, Texts, all_texts

# Texts with nothing in them that Chinese would say in other letters.
SAME = frozenset[str]()
CHINESE = re.compile("[一-鿿]")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("key", sorted(all_texts()))
def test_38_every_text_is_there_in_both_languages_with_the_same_values(key: str):
    english, chinese = all_texts()[key]
    assert english.strip() and chinese.strip()
    assert fields(english) == fields(chinese)
    assert key in SAME or CHINESE.search(chinese), "no Chinese in the Chinese text"
    assert not CHINESE.search(english)


def test_every_exception_is_still_needed():
    assert [key for key in sorted(SAME) if key not in all_texts() or CHINESE.search(all_texts()[key][1])] == []


def test_ascii_punctuation_between_chinese_letters_is_a_slip():
    slips = [key for key, (_, chinese) in all_texts().items() if re.search("[一-鿿][,;:?!(](?=[一-鿿“])", chinese)]
    assert slips == []


@pytest.mark.parametrize("lang", LANGS)
def test_a_text_is_filled_in(lang: str):
    t = Texts(lang)
    assert "3" in t("frame.job.waiting", count=3)
    assert t.pick(("a", "b")) == {"en": "a", "zh": "b"}[lang]
    with pytest.raises(KeyError):
        t("frame.no_such_text")
