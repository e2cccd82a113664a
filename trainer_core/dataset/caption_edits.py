"""One edit for many captions: pure functions from text to text."""

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

import regex

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.captions import SEPARATORS, is_xml, joined_tags, split_tags, with_tags

Kind = Literal["prefix", "append", "replace", "regex", "remove_tag", "rename_tag", "sort", "dedupe"]

MAX_TEXT = 1000
PATTERN_SECONDS = 2.0

_MAX_PATTERN = 300
# The regex package writes counted repeats out: (((a{99}){99}){99}) would fill the memory before any time limit.
_MAX_COUNTED = 1000
_MAX_MATCHED_CAPTION = 64 * 1024
_PROSE_WORDS = 7
# What may stay at the ends of tags that were typed or copied: it would double the comma that is put there. A caption's
# last new line stays.
_ENDS = " ,，、"
_COUNTS = re.compile(r"\{(\d*)(?:,(\d*))?\}")


@dataclass(frozen=True, kw_only=True)
class Edit:
    """What to do. Made by `checked_edit`.

    Attributes:
        text: the trigger, the text to append or to find, the pattern, or the tag; unused by sort and dedupe.
        new: what it becomes; used by replace, regex and rename_tag.
        match_case: for replace and regex; tags are compared without case.
    """

    kind: Kind
    text: str = ""
    new: str = ""
    match_case: bool = True


@dataclass(frozen=True, kw_only=True)
class Edited:
    """A caption after an edit. ``left_alone``: the edit makes no sense for it ("xml", "prose", "long")."""

    text: str
    left_alone: str = ""


def checked_edit(kind: str, text: str = "", new: str = "", *, match_case: bool = True) -> Edit:
    """The edit, if it can be done.

    Raises:
        UserError: `edit_unknown`, `edit_empty`, `edit_too_long`, `edit_comma`, `regex_invalid`, `regex_too_complex`.
    """
    found = next((known for known in get_args(Kind) if known == kind), None)
    if found is None:
        raise UserError("edit_unknown", f"There is no edit named {kind!r}; known are {', '.join(get_args(Kind))}.")
    if kind not in ("replace", "regex"):
        text, new = (" ".join(typed.split()).strip(_ENDS) for typed in (text, new))
    if not text and kind not in ("sort", "dedupe"):
        raise UserError("edit_empty", "There is no text to work with.", ["Fill in the first field."])
    if len(text) > MAX_TEXT or len(new) > MAX_TEXT:
        raise UserError("edit_too_long", f"At most {MAX_TEXT} characters are allowed in a field.")
    if kind in ("remove_tag", "rename_tag") and any(mark in text for mark in SEPARATORS):
        raise UserError("edit_comma", "A tag holds no comma.", ["Give one tag at a time."])
    if kind == "rename_tag" and not new:
        raise UserError("edit_empty", "There is no new name for the tag.", ["Fill in the second field."])
    edit = Edit(kind=found, text=text, new=new, match_case=match_case)
    if kind == "regex":
        _compiled(edit)
    return edit


def edit_all(captions: Sequence[str], edit: Edit) -> Iterator[Edited]:
    """Each caption edited, in order; equal text where there was nothing to do.

    Raises:
        UserError: `regex_slow`, the pattern takes more than 2 s in all; `regex_invalid`, its replacement is wrong.
    """
    if edit.kind == "regex":
        yield from _by_pattern(captions, edit)
        return
    function = _EDITS[edit.kind]
    for caption in captions:
        yield function(caption, edit)


def is_prose(caption: str) -> bool:
    """Sentences rather than tags: what would be a tag has more than seven words, or the end is a full stop."""
    return caption.rstrip().endswith((".", "!", "?", "\u3002")) or any(
        len(part.split()) > _PROSE_WORDS for part in split_tags(caption)
    )


def _prefix(caption: str, edit: Edit) -> Edited:
    if is_xml(caption):
        return Edited(text=caption, left_alone="xml")
    if is_prose(caption) or "\n" in caption:
        # Only what stands in front decides: taking a word out of sentences would break them.
        start = caption[: len(edit.text)]
        there = _same(start, edit.text) and not caption[len(edit.text) :][:1].isalnum()
        return Edited(text=caption if there else f"{edit.text}, {caption}")
    tags, new = split_tags(caption), split_tags(edit.text)
    rest = _without(tags, new)
    if [tag.casefold() for tag in tags] == [tag.casefold() for tag in (*new, *rest)]:
        return Edited(text=caption)
    return Edited(text=", ".join([*new, *([joined_tags(caption.strip(), rest)] if rest else [])]))


def _append(caption: str, edit: Edit) -> Edited:
    if is_xml(caption):
        return Edited(text=caption, left_alone="xml")
    # Parts of a sentence are no tags.
    new = [edit.text] if is_prose(edit.text) else split_tags(edit.text)
    missing = ", ".join(_without(new, split_tags(caption)))
    if not missing:
        return Edited(text=caption)
    if is_prose(caption):
        there = f" {caption}".casefold().endswith(f" {edit.text}".casefold())
        return Edited(text=caption if there else f"{caption} {edit.text}")
    return Edited(text=f"{caption.rstrip(_ENDS)}, {missing}" if caption else missing)


def _replace(caption: str, edit: Edit) -> Edited:
    if edit.match_case:
        return Edited(text=caption.replace(edit.text, edit.new))
    return Edited(text=re.sub(re.escape(edit.text), lambda match: edit.new, caption, flags=re.IGNORECASE))


def _remove_tag(caption: str, edit: Edit) -> Edited:
    return Edited(text=with_tags(caption, lambda tags: [tag for tag in tags if not _same(tag, edit.text)]))


def _rename_tag(caption: str, edit: Edit) -> Edited:
    def renamed(tags: list[str]) -> list[str]:
        if not any(_same(tag, edit.text) for tag in tags):
            return tags
        return _once([edit.new if _same(tag, edit.text) else tag for tag in tags])

    return Edited(text=with_tags(caption, renamed))


def _sort(caption: str, edit: Edit) -> Edited:
    if not is_xml(caption) and is_prose(caption):
        return Edited(text=caption, left_alone="prose")
    return Edited(text=with_tags(caption, lambda tags: sorted(tags, key=str.casefold)))


def _dedupe(caption: str, edit: Edit) -> Edited:
    if not is_xml(caption) and is_prose(caption):
        return Edited(text=caption, left_alone="prose")
    return Edited(text=with_tags(caption, _once))


_EDITS: MappingProxyType[Kind, Callable[[str, Edit], Edited]] = MappingProxyType(
    {
        "prefix": _prefix,
        "append": _append,
        "replace": _replace,
        "remove_tag": _remove_tag,
        "rename_tag": _rename_tag,
        "sort": _sort,
        "dedupe": _dedupe,
    }
)


def _by_pattern(captions: Sequence[str], edit: Edit) -> Iterator[Edited]:
    pattern = _compiled(edit)
    end = time.monotonic() + PATTERN_SECONDS
    for caption in captions:
        if len(caption) > _MAX_MATCHED_CAPTION:
            yield Edited(text=caption, left_alone="long")
            continue
        try:
            # A caption takes microseconds; the sum is what a person waits for.
            left = max(0.01, end - time.monotonic())
            yield Edited(text=pattern.sub(edit.new, caption, timeout=left, concurrent=True))
        except TimeoutError as error:
            raise UserError(
                "regex_slow",
                f"The pattern takes more than {PATTERN_SECONDS:g} s; nothing was changed.",
                ["Repeats inside repeats, such as (a+)+, are the usual reason: write it without them."],
            ) from error
        except (regex.error, IndexError) as error:
            raise _invalid(f"the replacement is wrong: {error}") from error


def _compiled(edit: Edit) -> "regex.Pattern[str]":
    counted = 1
    for least, most in _COUNTS.findall(edit.text):
        counted *= max(1, *(int(number[:6]) for number in (least, most) if number), 1)
    if len(edit.text) > _MAX_PATTERN or counted > _MAX_COUNTED:
        raise UserError(
            "regex_too_complex",
            f"The pattern is too large: at most {_MAX_PATTERN} characters, and counted repeats such as {{5}} may "
            f"multiply to {_MAX_COUNTED} at most.",
            ["Write it shorter, or with * and +."],
        )
    try:
        return regex.compile(edit.text, 0 if edit.match_case else regex.IGNORECASE)
    except (regex.error, IndexError, OverflowError, RecursionError) as error:
        raise _invalid(str(error)) from error


def _invalid(reason: str) -> UserError:
    return UserError("regex_invalid", f"The regular expression is not valid: {reason}.", ["Check brackets and \\."])


def _without(tags: list[str], others: list[str]) -> list[str]:
    left_out = {other.casefold() for other in others}
    return [tag for tag in tags if tag.casefold() not in left_out]


def _same(tag: str, other: str) -> bool:
    return tag.casefold() == other.casefold()


def _once(tags: list[str]) -> list[str]:
    return list({tag.casefold(): tag for tag in reversed(tags)}.values())[::-1]
