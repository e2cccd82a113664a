"""Mistakes in NewBie's XML captions, and what is none."""

import pytest

from trainer_core.dataset.xml_captions import ELEMENTS, xml_mistake

RIGHT = (
    "<character_1>\n<n>$character_1$</n><gender>1girl</gender><appearance>red_hair</appearance>\n</character_1>\n"
    "<character_2><n>ann</n></character_2><general_tags><style>flat</style><other>>_<, <o>_<o>, <3</other>"
    "</general_tags><caption>She says <b>no, $character_1$ smiles.</caption>"
)


SOUND = ["", "1girl, smile", "a </style>, b", "<o>_<o>, 1girl", RIGHT, f"<image>{RIGHT}</image>"]
SOUND += [RIGHT.replace("character_2>", "character>"), f"<characters>{RIGHT}</characters>"]
SOUND += [f"<general_tags><{name}>a</{name}></general_tags>" for name in ("composition", "captain", "counter")]


@pytest.mark.parametrize("caption", SOUND)
def test_what_is_right_or_no_xml_has_no_mistake(caption: str) -> None:
    assert xml_mistake(caption) == ""


@pytest.mark.parametrize("name", [*ELEMENTS, "character_1", "character_12"])
def test_every_element_may_stand_and_must_close(name: str) -> None:
    assert xml_mistake(f"<{name}>a</{name}><general_tags></general_tags>") == ""
    assert xml_mistake(f"<general_tags></general_tags><{name}>a") == f"<{name}> is never closed"


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (RIGHT.replace("</gender>", ""), "</character_1> stands before the end of an element inside it"),
        (RIGHT.replace("<style>", ""), "</style> closes nothing"),
        (RIGHT.replace("</general_tags>", "</general_tags></general_tags>"), "</general_tags> closes nothing"),
        ("<general_tags><style>flat</general_tags></style>", "</general_tags> stands before the end"),
        (RIGHT.replace("appearance", "apperance"), "<apperance> is not among NewBie's elements, <appearance>"),
        (
            RIGHT.replace("character_2", "charactor_2"),
            "<charactor_2> is not among NewBie's elements, <character_2",
        ),
        (
            RIGHT.replace("character_2>", "character2>"),
            "<character2> is not among NewBie's elements, <character_2",
        ),
        (RIGHT.replace("style", "Style"), "<Style> is not among NewBie's elements, <style>"),
        (RIGHT.replace("<style>", "< style>"), "< style> is read as text"),
        ("＜general_tags＞a＜/general_tags＞", "＜general_tags＞ is read as text"),
        ("<general_tags>cut off here", "<general_tags> is never closed"),
    ],
)
def test_a_mistake_is_told_by_its_place(wrong: str, told: str) -> None:
    assert xml_mistake(wrong).startswith(told)


PIECES = ["<style>", "</style>", "<style></style>", "<n><style></style>", "<stile>", "<zzzzzz>", "<", "<n"]


@pytest.mark.parametrize("piece", PIECES)
def test_a_megabyte_of_anything_takes_no_time(piece: str) -> None:
    assert isinstance(xml_mistake("<general_tags>" + piece * (1_000_000 // len(piece))), str)
