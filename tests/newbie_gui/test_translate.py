"""The catalogue says all that the engine says, and only that; and looking up mangles nothing."""

import re
import time
from functools import cache
from itertools import count

import pytest
from engine_texts import engine_files, engine_texts, literals

from newbie_gui.texts import messages_composed, messages_system
from newbie_gui.texts.messages import CATALOGUE
from newbie_gui.translate import Catalogue, catalogue, hints, say, translate
from trainer_core.contracts.errors import ConfigError, Problem, UserError

WORD = "[A-Za-z]{2,}"
HOLE = re.compile(r"\{(\d?)([nwtxvl]?)\}")


def words(text: str) -> str:
    return f" {' '.join(re.findall('[A-Za-z0-9_]+', text))} "


def filled(template: str) -> str:
    number = count(3)
    return re.sub(r"\{\}", lambda hole: str(next(number)), template)


def test_every_text_of_the_engine_has_its_chinese():
    missing = [text for text in engine_texts() if not has_chinese(text.template)]
    assert missing == [], "add pairs to newbie_gui/texts/messages_*.py"


def has_chinese(template: str) -> bool:
    """What stands at the end may be nothing or a sentence of its own."""
    found = [catalogue().read(shape) for shape in (filled(template), filled(template.removesuffix("{}")))]
    return any(reading.known and set(re.findall(WORD, reading.text)) <= terms() for reading in found)


@cache
def terms() -> frozenset[str]:
    """Latin words that stand in the Chinese on purpose."""
    return frozenset(word for _, chinese in CATALOGUE for word in re.findall(WORD, chinese))


def test_the_search_for_texts_finds_them():
    found = {text.template for text in engine_texts()}
    assert len(found) > 500
    assert {"must be {}", "weights", "checking data", "{} is not a run folder."} <= found


def test_every_pair_is_still_said_somewhere():
    said = {words(part) for path in engine_files() for text in literals(path) for part in text.split("{}")}
    everything, single = "|".join(said), {word for text in said for word in text.split()}
    others = {english for english, _ in messages_system.MESSAGES}
    composed = {english for english, _ in messages_composed.MESSAGES}
    stale = [
        english
        for english, _ in CATALOGUE
        if english not in others | composed
        and any(words(part) not in everything for part in english.split("{}") if part.strip(" ()[].,:;'\""))
    ]
    assert stale == []
    assert not [english for english in composed if not set(words(english).split()) <= single]


def test_every_pair_keeps_every_value():
    for english, chinese in CATALOGUE:
        kinds = [found[1] for found in HOLE.finditer(chinese)]
        used = {int(number) if number else place for place, number in enumerate(kinds)}
        assert used == set(range(english.count("{}"))), english
    assert len({english for english, _ in CATALOGUE}) == len(CATALOGUE)


def test_chinese_has_no_ascii_punctuation_between_its_letters():
    assert [chinese for _, chinese in CATALOGUE if re.search("[一-鿿][,;:?!(](?=[一-鿿“])", chinese)] == []


@pytest.mark.parametrize(
    "text",
    ["", "Nothing of ours. Really: nothing; at all!", "a: b: c", "D:\\数据\\1.png", "x\n  - y\n\nz", "{}{t} {0}"],
)
def test_what_is_unknown_stays_letter_by_letter(text: str):
    assert translate(text, "zh") == text
    assert translate(text, "en") == text


@pytest.mark.parametrize("name", ["is missing.png", "off", "a VAE: b. c; d", "样图 1", "D:\\a b\\c.png", "[1] (2)"])
def test_names_keep_their_letters(name: str):
    assert translate(f"No image in {name} could be read.", "zh") == f"{name} 中的图片都无法读取。"
    assert name in translate(f"{name}: a caption without an image.", "zh")


def test_a_value_may_hold_the_words_that_end_it():
    text = "The name 'a / b' must be a plain file name without '/'."
    assert translate(text, "zh") == "名称 'a / b' 必须是普通文件名，不能含有 '/'。"


def test_sentences_in_a_row_and_lines_are_read_each_for_itself():
    problems = [
        Problem(field="learning_rate", value=5, message="must be a number above 0 and at most 1"),
        Problem(field="lr", value=None, message='is not an option; did you mean "lora_rank"?'),
        Problem(field="", value=None, message="Something new. Must it stay? must not be empty"),
    ]
    assert say(ConfigError(problems, "a.toml"), "zh") == (
        "配置有误：a.toml 中有 3 个问题\n"
        "  - learning_rate = 5: 必须是大于 0 且不大于 1 的数字\n"
        '  - lr: 没有这个选项；是不是想写 "lora_rank"？\n'
        "  - Something new. Must it stay? 不能为空"
    )


def test_hints_are_translated_one_by_one():
    error = UserError("x", "Unknown.", ["Check the path.", "Do what is new."])
    assert hints(error, "zh") == ("请检查路径。", "Do what is new.")
    assert hints(error, "en") == error.hints
    assert say(error, "zh") == "Unknown."


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("red of Rome", "Rome 的红"),
        ("green of Rome", "green of Rome"),
        ("painted green", "涂成 green"),
        ("painted red", "涂成红"),
        ("12 images", "12 张图片"),
        ("some images", "some images"),
        ("names: red, green and 3 more", "名称：red, green 等（另有 3 个）"),
        ("colours: dark blue, green, red and 3 more", "颜色：深蓝、green、红 等（另有 3 个）"),
        ("red. Painted by me. painted red", "红. Painted by me. 涂成红"),
        ("name: red", "name: 红"),
        ("some words: red", "some words: 红"),
        ("says some words: red", "says some words: 红"),
    ],
)
def test_kinds_of_values(english: str, chinese: str):
    pairs = [
        ("{} of {}", "{1} 的{0t}"),
        ("painted {}", "涂成{x}"),
        ("{}: {}", "{w}: {t}"),
        ("{} images", "{n} 张图片"),
        ("names: {}", "名称：{v}"),
        ("colours: {}", "颜色：{l}"),
        ("red", "红"),
        ("red.", "红."),
        ("dark blue", "深蓝"),
    ]
    assert Catalogue(pairs).read(english).text == chinese


def test_a_look_up_takes_less_than_a_millisecond(record_figure):
    texts = [filled(text.template) for text in engine_texts()]
    known = catalogue()
    for text in texts:
        known.read(text)
    # The time of this process alone: others may be busy on the same cores.
    started = time.process_time()
    for text in texts:
        known.read(text)
    each_ms = (time.process_time() - started) * 1000 / len(texts)
    record_figure("translating a message, ms", each_ms)
    assert each_ms < 2


@pytest.mark.parametrize("text", ["a: b; c. " * 300, "x" * 100_000, "must be " * 400, "\n".join(["a: b."] * 2000)])
def test_odd_texts_take_no_time_either(text: str):
    started = time.process_time()
    assert len(translate(text, "zh")) > len(text) / 2
    assert time.process_time() - started < 4
