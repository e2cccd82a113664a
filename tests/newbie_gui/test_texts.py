"""Both languages say everything, with the same values in it."""

import ast
import re
from string import Formatter

import pytest
from engine_texts import engine_files, tree

from newbie_gui.texts import LANGS, Texts, all_texts
from trainer_core.contracts import phase_names

# Texts with nothing in them that Chinese would say in other letters.
SAME = frozenset[str]()
CHINESE = re.compile("[一-鿿]")


def fields(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def faults(key: str) -> list[str]:
    """What is wrong with the text of this key."""
    english, chinese = all_texts()[key]
    checks = {
        "empty": english.strip() and chinese.strip(),
        "other values in it": fields(english) == fields(chinese),
        "no Chinese in the Chinese text": key in SAME or CHINESE.search(chinese),
        "Chinese in the English text": not CHINESE.search(english),
    }
    return [f"{key}: {fault}" for fault, right in checks.items() if not right]


def test_38_every_text_is_there_in_both_languages_with_the_same_values():
    found = [fault for key in sorted(all_texts()) for fault in faults(key)]
    assert not found, "\n".join(found)


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


def emitted_phases() -> set[str]:
    calls = [
        node for path in engine_files() for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and node.args
    ]
    first = [call.args[0] for call in calls if ast.unparse(call.func).split(".")[-1] in ("progress", "report", "tell")]
    said = {node.value for node in first if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return said | {value for name, value in vars(phase_names).items() if name.isupper()}


def test_every_phase_of_a_job_has_words():
    phases = emitted_phases()
    assert {"loading Jina CLIP", "painting", "checking", "taking in pictures"} <= phases
    assert {key for key in all_texts() if key.startswith("phase.")} == {f"phase.{name}" for name in phases}
    zh = Texts("zh")
    assert zh.phase("loading the VAE") == "加载 VAE" and zh.phase("a new one") == "a new one" and zh.phase("") != ""
