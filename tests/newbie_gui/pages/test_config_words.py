"""The words of the settings: every option has them in both languages."""

import re

from newbie_gui.texts import allowed
from newbie_gui.texts import options as words
from newbie_gui.texts.choices import CHOICES, GROUPS
from trainer_core.contracts.config import options
from trainer_core.contracts.options import OptionSpec

SPECS = options()
CHINESE = re.compile(r"[一-鿿]")


def test_exactly_the_options_have_words():
    labels = {key.split(".")[1] for key in words.TEXTS if key.endswith(".help")}
    assert labels == {spec.name for spec in SPECS} == set(words._OPTIONS)
    assert set(GROUPS) == {spec.group for spec in SPECS}
    choices = {f"{spec.name}={choice}" for spec in SPECS for choice in spec.choices}
    assert set(CHOICES) <= choices


def test_the_unit_stands_in_the_label():
    chinese_units = {"px": "像素", "tokens": "token"}
    wrong = []
    for spec in SPECS:
        english, chinese = words.TEXTS[f"options.{spec.name}"]
        if spec.unit and not (english.endswith(f"({spec.unit})") and chinese_units[spec.unit] in chinese):
            wrong.append(spec.name)
    assert wrong == []


def test_help_is_the_options_own_and_chinese():
    helps = [(spec, *words.TEXTS[f"options.{spec.name}.help"]) for spec in SPECS]
    english_ones = [s.name for s, english, _ in helps if english == words.in_labels(s.help)]
    assert english_ones == [s.name for s, _, chinese in helps if CHINESE.search(chinese)] == [s.name for s in SPECS]


def test_the_page_names_settings_by_their_labels():
    names = "|".join(spec.name for spec in SPECS if "_" in spec.name)
    said = [text for key, (text, _) in words.TEXTS.items() if key.endswith(".help")]
    assert said and not [text for text in said if re.search(rf"\b({names}|true|false)\b", text)]
    assert words.in_labels("num_epochs decides; false stops") == "“Epochs” decides; off stops"


def numbers(text: str) -> list[str]:
    return sorted(re.findall(r"\d[\d.e-]*", text))


def says_the_same(spec: OptionSpec) -> bool:
    """The Chinese words of what is allowed have the English numbers, and a note where the English have one."""
    zero = f"（{allowed.zero_zh(spec)}）" if spec.zero else ""
    chinese = allowed.allowed_zh(spec).replace(zero, "")
    english = spec.allowed().replace(f" ({spec.zero})", "") if spec.zero else spec.allowed()
    return numbers(chinese) == numbers(english) and bool(allowed.note_zh(spec)) == bool(spec.note)


def test_what_is_allowed_says_the_same_numbers_in_chinese():
    assert [spec.name for spec in SPECS if not says_the_same(spec)] == []


def test_a_range_in_chinese():
    spec = next(spec for spec in SPECS if spec.name == "min_bucket_reso")
    assert allowed.allowed_zh(spec) == "32 到 2048 像素之间的整数，且为 16 的倍数，或 0（自动：分辨率的一半）"
