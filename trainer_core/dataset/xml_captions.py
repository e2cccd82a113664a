"""Mistakes in NewBie's XML captions: elements that are misspelled, do not close or cross each other."""

import re
from difflib import get_close_matches

from trainer_core.dataset.captions import TAG, is_xml

# The elements that the base was trained with, and those that its tools wrap around them.
ELEMENTS = (
    "n", "gender", "appearance", "clothing", "body_type", "expression", "action", "interaction", "position",
    "general_tags", "count", "artists", "style", "background", "environment", "perspective", "atmosphere", "lighting",
    "resolution", "quality", "objects", "other", "caption", "image",
)  # fmt: skip
# A blank behind the bracket, or a bracket of full width.
_ODD = re.compile(r"(?:<[ \t]++/?|</[ \t]++|＜/?)[ \t]*+(?P<name>[A-Za-z_][\w.-]*+)[ \t]*+[>＞]")
_CHARACTER = re.compile(r"character_[1-9]\d*")
# As near as one letter in ten: <artist>, but neither <composition> nor <captain>.
_CLOSE = 0.88
_OTHERS = 50


def xml_mistake(caption: str) -> str:
    """The first mistake as one clause; "" where there is none, or the caption is no XML.

    Names that are no element of NewBie's, nor nearly one, may be emoticons among the tags (<o>_<o>): they are passed
    over.
    """
    for odd in _ODD.finditer(caption):
        # n is a letter too.
        if odd["name"] != "n" and _is_element(odd["name"]):
            return f"{odd[0]} is read as text: an element begins with < and its name"
    if not is_xml(caption):
        return ""
    opened: list[str] = []
    others: set[str] = set()
    for tag in TAG.finditer(caption):
        name = tag["name"]
        if not _is_element(name):
            # Comparing takes its time, and whoever has so many names of his own misspelled none.
            if name not in others and len(others) < _OTHERS and (meant := _meant(name)):
                return f"<{name}> is not among NewBie's elements, <{meant}> is"
            others.add(name)
        elif not tag["close"]:
            opened.append(name)
        elif opened and opened[-1] == name:
            opened.pop()
        elif name in opened:
            return f"</{name}> stands before the end of an element inside it"
        else:
            return f"</{name}> closes nothing"
    return f"<{opened[-1]}> is never closed" if opened else ""


def _is_element(name: str) -> bool:
    return name in ELEMENTS or _CHARACTER.fullmatch(name) is not None


def _meant(name: str) -> str:
    """The element that a name is nearly; "" for any other name."""
    plain = name.casefold()
    stem = plain.rstrip("0123456789")
    number = plain[len(stem) :].lstrip("0")
    known = ("character_",) if number else ELEMENTS
    found = get_close_matches(stem, known, n=1, cutoff=_CLOSE)
    return f"{found[0]}{number}" if found else ""
