"""Captions: what counts as XML, what shuffling may touch, what Gemma reads."""

import re
from dataclasses import replace

import pytest

from trainer_core.dataset.captions import CaptionRules, gemma_text, is_xml, spaced, tags_of

XML = (
    "<character_1><n>ann, of_the_hill</n><gender>1girl</gender>"
    "<appearance>red_hair, long_hair, blue_eyes, cat_ears, small_smile</appearance></character_1>\n"
    "<general_tags><style>flat, lineart, pastel, clean</style></general_tags>\n"
    "<caption>Ann stands here, red hair, long, in the wind.</caption>"
)


def shuffled(caption: str, seed: int, keep: int = 0) -> str:
    [made] = CaptionRules(seed=seed, shuffle=True, keep_tokens=keep).made(caption)
    return made


def leaf(caption: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", caption, re.DOTALL)
    assert found
    return found[1]


@pytest.mark.parametrize("caption", [XML, "<general_tags>a, b</general_tags>", "<n>x</n>", "<caption>x\ny</caption>"])
def test_xml_is_recognised(caption: str) -> None:
    assert is_xml(caption)


@pytest.mark.parametrize("caption", ["", "1girl, red_hair", "smile, >_<, <3", "<o>_<o>, girl", "a < b, c > d"])
def test_tags_and_emoticons_are_not_xml(caption: str) -> None:
    assert not is_xml(caption)


def test_tags_are_shuffled_and_none_is_lost() -> None:
    tags = [f"tag{i}" for i in range(12)]
    results = {shuffled(", ".join(tags), seed) for seed in range(5)}
    assert len(results) == 5
    assert all(sorted(result.split(", ")) == sorted(tags) for result in results)


@pytest.mark.parametrize("keep", [0, 1, 3, 12, 99])
def test_the_first_tags_stay(keep: int) -> None:
    tags = [f"tag{i}" for i in range(12)]
    result = shuffled(", ".join(tags), 7, keep).split(", ")
    assert result[:keep] == tags[:keep]
    assert (result == tags) == (keep >= 11)


@pytest.mark.parametrize(
    ("caption", "marks"),
    [
        ("一，二，三，四，五，六", "，，，，，"),
        ("一、二, 三\n四，五、 六", "、|, |\n|，|、 "),
        ("a, b, c\nd, e, f", ", |, |\n|, |, "),
    ],
)
def test_other_commas_and_new_lines_separate_tags_and_stay_where_they_are(caption: str, marks: str) -> None:
    result = shuffled(caption, 3, keep=2)
    assert result != caption and sorted(tags_of(result)) == sorted(tags_of(caption))
    assert tags_of(result)[:2] == tags_of(caption)[:2]
    assert re.findall(r"[^\w]+", result) == (marks.split("|") if "|" in marks else list(marks))


def test_plain_commas_are_shuffled_as_ever() -> None:
    """Another order, or another space, would be another text to encode and to learn."""
    assert shuffled("tag0, tag1,tag2 ,tag3,, tag4, tag5, tag6", 7, keep=1) == "tag0, tag3, tag6, tag4, tag1, tag5, tag2"


def test_a_caption_of_separators_takes_no_time() -> None:
    assert shuffled("，" * 200_000 + " " * 200_000, 1) and len(tags_of("a\n" * 200_000)) == 200_000


def test_xml_is_shuffled_inside_each_leaf_only() -> None:
    result = shuffled(XML, 3)
    assert result != XML
    for name in ("appearance", "style"):
        assert sorted(leaf(result, name).split(", ")) == sorted(leaf(XML, name).split(", "))
        assert leaf(result, name) != leaf(XML, name)
    assert re.findall("<[^>]+>", result) == re.findall("<[^>]+>", XML)


def test_the_first_tags_of_each_element_stay() -> None:
    results = [shuffled(XML, seed, keep=2) for seed in range(5)]
    assert len(set(results)) > 1
    for name, first in (("appearance", "red_hair, long_hair"), ("style", "flat, lineart")):
        assert all(leaf(result, name).startswith(first) for result in results)


@pytest.mark.parametrize("name", ["n", "caption", "gender"])
def test_prose_and_names_stay_as_they_are(name: str) -> None:
    assert all(leaf(shuffled(XML, seed), name) == leaf(XML, name) for seed in range(5))


def test_emoticons_inside_xml_survive() -> None:
    caption = "<general_tags><other>smile, >_<, blush, hat</other></general_tags>"
    assert sorted(tags_of(shuffled(caption, 1))) == sorted(tags_of(caption))
    assert shuffled(caption, 1).count(">_<") == 1


def test_variants_depend_on_seed_and_caption_alone() -> None:
    caption = ", ".join(TAGS)
    rules = CaptionRules(seed=5, shuffle=True, keep_tokens=1, variants=4)
    first = rules.made(caption)
    assert first == rules.made(caption) and len(set(first)) == 4
    assert first != replace(rules, seed=6).made(caption)
    assert replace(rules, shuffle=False).made(caption) == rules.written(caption) == (caption,)


TAGS = [f"tag{i}" for i in range(9)]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("caption", [", ".join(TAGS), f"<general_tags><style>{', '.join(TAGS)}</style></general_tags>"])
def test_tags_behind_those_that_stay_are_left_out_at_their_rate(caption: str, shuffle: bool) -> None:
    made = CaptionRules(shuffle=shuffle, keep_tokens=2, tag_dropout=0.3, variants=400).made(caption)
    left = [tags_of(text) for text in made]
    assert all(tags[:2] == TAGS[:2] and set(tags) <= set(TAGS) for tags in left)
    assert all(tags == sorted(tags) for tags in left) != shuffle
    assert sum(map(len, left)) / len(left) == pytest.approx(2 + 0.7 * 7, abs=0.2)


def test_a_caption_never_loses_all_its_tags() -> None:
    rules = CaptionRules(tag_dropout=0.7, variants=50)
    assert {len(tags_of(text)) for text in rules.made("a, b, c")} == {1, 2, 3}
    assert set(rules.made("one sentence without a comma")) == {"one sentence without a comma"}
    assert set(replace(rules, separator="|").made("a | b")) == {"a", "a, b"}


@pytest.mark.parametrize("mark", [" ||| ", ", |||", "|||\n"])
def test_only_what_is_behind_the_separator_moves_and_the_separator_goes(mark: str) -> None:
    caption = f"ann, 1girl{mark}c, d, e, f"
    rules = CaptionRules(shuffle=True, keep_tokens=4, separator="|||", variants=9)
    made = rules.made(caption)
    assert len(set(made)) > 3 and rules.written(caption) == ("ann, 1girl, c, d, e, f",)
    for text in made:
        assert text.startswith("ann, 1girl, ") and sorted(text.split(", ")) == sorted(
            "ann, 1girl, c, d, e, f".split(", ")
        )


def test_a_caption_without_the_separator_is_prose() -> None:
    prose = "She walks, sings, and laughs, all day, every day."
    rules = CaptionRules(shuffle=True, tag_dropout=0.5, separator="|||", variants=5)
    assert set(rules.made(prose)) == {prose}
    xml = "<general_tags><style>a ||| b, c, d, e</style><count>1girl, 2boys, dog, cat</count></general_tags>"
    assert all("<count>1girl, 2boys, dog, cat</count>" in text for text in rules.made(xml))
    assert len({leaf(text, "style") for text in rules.made(xml)}) > 2
    assert leaf(rules.written(xml)[0], "style") == "a, b, c, d, e"


def test_what_follows_a_second_separator_stays_behind_and_no_mark_is_read() -> None:
    rules = CaptionRules(shuffle=True, separator="|||", variants=9)
    made = rules.made("a ||| b, c, d ||| e, f")
    assert len(set(made)) > 3 and all(text.startswith("a, ") and text.endswith(", e, f") for text in made)
    xml = "x ||| <general_tags><style>a ||| b</style></general_tags><caption>y ||| z</caption>"
    assert rules.written(xml) == ("x <general_tags><style>a, b</style></general_tags><caption>y z</caption>",)
    assert all("|||" not in text for text in rules.made(xml))


@pytest.mark.parametrize("caption", ["<split>", " <split> <split>"])
def test_a_caption_of_marks_alone_is_empty(caption: str) -> None:
    rules = CaptionRules(parts=True, shuffle=True, variants=2)
    assert rules.written(caption) == ("",) and set(rules.made(caption)) == {""}


def test_parts_of_a_caption_are_drawn_equally() -> None:
    rules = CaptionRules(shuffle=True, separator="|||", variants=4, parts=True)
    made = rules.made("1girl ||| a, b, c, d<split>A girl stands, alone.<split> ")
    assert len(made) == 8 and made.count("A girl stands, alone.") == 4
    rules = CaptionRules(parts=True)
    assert rules.made("x, y<split>z") == rules.written("x, y<split>z") == ("x, y", "z")
    assert rules.made("") == ("",) and CaptionRules().made("x<split>z") == ("x<split>z",)


def test_the_tags_of_xml_leave_out_names_and_prose() -> None:
    assert tags_of("a, b ,, c") == ["a", "b", "c"]
    assert tags_of(XML)[:2] == ["1girl", "red_hair"]
    assert not any("Ann" in tag or tag == "ann" for tag in tags_of(XML))


@pytest.mark.parametrize(("prompt", "wanted"), [("", ""), ("Say.", "Say. "), ("Say. ", "Say. "), ("Say.\n", "Say.\n")])
def test_a_system_prompt_ends_in_white_space(prompt: str, wanted: str) -> None:
    assert spaced(prompt) == wanted


def test_gemma_reads_the_prompt_of_the_captions_kind() -> None:
    assert gemma_text("1girl", "tags <Prompt Start>", "xml ") == "tags <Prompt Start> 1girl"
    assert gemma_text(XML, "tags ", "xml <Prompt Start>") == f"xml <Prompt Start> {XML}"
    assert gemma_text("1girl", "", "xml ") == "1girl"
