"""Captions: tags or NewBie's XML, their shuffled variants, and the system prompt that Gemma reads before them."""

import random
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from trainer_core.dataset.order import keyed_seed

# Single tags, walked once, quantifiers that never give back: no caption takes quadratic time. No XML parser, so no
# entities either.
_TAG = re.compile(r"<(?P<close>/?)(?P<name>[A-Za-z_][\w.-]*+)[^<>]*+(?<!/)>")
_START = re.compile(r"\s*<(character_\d+|general_tags|caption|image)(\s[^<>]*)?>")
_PROSE = frozenset({"caption", "n"})
# Between tags; Chinese and Japanese have commas of their own.
SEPARATORS = ",，、\n"
_SEPARATOR = re.compile(f"[{SEPARATORS}]")
_OTHERS = re.compile(f"[{SEPARATORS[1:]}]")


def is_xml(caption: str) -> bool:
    """True for NewBie's XML captions: one of its outer elements first, or any element opened and closed.

    Emoticons among tags (``>_<``, ``<o>_<o>``) do not make a caption XML.
    """
    if _START.match(caption):
        return True
    opened: set[str] = set()
    for tag in _TAG.finditer(caption):
        if tag["close"] and tag["name"] in opened:
            return True
        opened.add("" if tag["close"] else tag["name"])
    return False


def tags_of(caption: str) -> list[str]:
    """Every tag of a caption, in order; of XML, those inside its elements (prose and names left out)."""
    if not is_xml(caption):
        return split_tags(caption)
    return [tag for start, end in _leaves(caption) for tag in split_tags(caption[start:end])]


def shuffle_tags(caption: str, *, keep_tokens: int, rng: random.Random) -> str:
    """Shuffle tags, the first `keep_tokens` staying in place, and so what separates them.

    In XML each innermost element's list is shuffled by itself, never across elements, and keeps its own first tags;
    <caption> prose and <n> names stay as they are.
    """
    return _in_lists(caption, lambda text: _shuffled(text, keep_tokens, rng))


def with_tags(caption: str, change: Callable[[list[str]], list[str]]) -> str:
    """The caption with its tag list changed; in XML that of each innermost element. A list that stays equal keeps its
    spelling; white space around a list stays."""

    def rewritten(text: str) -> str:
        tags = split_tags(text)
        changed = change(tags)
        return text if changed == tags else joined_tags(text, changed)

    return _in_lists(caption, rewritten)


def variants(caption: str, count: int, *, keep_tokens: int, seed: int, shuffle: bool) -> tuple[str, ...]:
    """The caption alone, or `count` shuffles of it: a function of (seed, caption) only."""
    if not shuffle:
        return (caption,)
    seeds = (keyed_seed(seed, "shuffle", caption, number) for number in range(count))
    return tuple(shuffle_tags(caption, keep_tokens=keep_tokens, rng=random.Random(key)) for key in seeds)


def spaced(prompt: str) -> str:
    """A system prompt with the space it must end in; an empty one stays empty. Differs from `prompt` = say so."""
    return prompt if not prompt or prompt[-1].isspace() else prompt + " "


def gemma_text(caption: str, prompt_tags: str, prompt_xml: str) -> str:
    """What Gemma reads: the system prompt of the caption's kind, then the caption.

    A dropped caption is not this function's: Gemma then reads "", without a system prompt.
    """
    return spaced(prompt_xml if is_xml(caption) else prompt_tags) + caption


def split_tags(text: str) -> list[str]:
    """The tags of a list, without the white space around them."""
    return [tag for part in _SEPARATOR.split(text) if (tag := part.strip())]


def joined_tags(text: str, tags: Sequence[str]) -> str:
    """``tags`` in the place of those of ``text``, with the white space that was around them.

    Commas and new lines other than "," stay at their places where the number of tags does, else with those that are
    still there.
    """
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    return before + (_separated(text, tags) if _OTHERS.search(text) else ", ".join(tags)) + after


def _separated(text: str, tags: Sequence[str]) -> str:
    spans = _spans(text)
    gaps = [text[end:start] for (_, end), (start, _) in zip(spans, spans[1:], strict=False)]
    places = range(len(tags)) if len(tags) == len(spans) else _places(split_tags(text), tags)
    between = [_between(gaps[one:other]) for one, other in zip(places, places[1:], strict=False)]
    # One more of the former where no tag is left.
    return "".join(part for pair in zip(["", *between], tags, strict=False) for part in pair)


def _spans(text: str) -> list[tuple[int, int]]:
    """(start, end) of each tag."""
    spans: list[tuple[int, int]] = []
    start = 0
    for part in _SEPARATOR.split(text):
        if tag := part.strip():
            begin = start + len(part) - len(part.lstrip())
            spans.append((begin, begin + len(tag)))
        start += len(part) + 1
    return spans


def _places(before: Sequence[str], after: Sequence[str]) -> list[int]:
    """Where each tag of ``after`` was in ``before``, rising; a new one stands in the next place."""
    found: dict[str, list[int]] = {}
    for place, tag in enumerate(before):
        found.setdefault(tag, []).append(place)
    places: list[int] = []
    last = -1
    for tag in after:
        own = found.get(tag, [])
        later = bisect_right(own, last)
        last = own[later] if later < len(own) else last + 1
        places.append(last)
    return places


def _between(gaps: Sequence[str]) -> str:
    """What separates two tags that had these between them: a new line rather than a comma."""
    own = [gap for gap in gaps if _OTHERS.search(gap)]
    return next((gap for gap in own if "\n" in gap), own[0] if own else ", ")


def _shuffled(text: str, keep: int, rng: random.Random) -> str:
    """A list with its tags shuffled and the white space around it kept; a single tag stays untouched."""
    tags = split_tags(text)
    if len(tags) < 2:
        return text
    tail = tags[keep:]
    rng.shuffle(tail)
    return joined_tags(text, tags[:keep] + tail)


def _in_lists(caption: str, rewrite: Callable[[str], str]) -> str:
    """The caption with each text that holds tags rewritten: all of it, or in XML each innermost element's."""
    if not is_xml(caption):
        return rewrite(caption)
    parts: list[str] = []
    done = 0
    for start, end in _leaves(caption):
        parts += [caption[done:start], rewrite(caption[start:end])]
        done = end
    return "".join([*parts, caption[done:]])


def _leaves(caption: str) -> Iterator[tuple[int, int]]:
    """(start, end) of the text of each innermost element that is not, or inside, prose."""
    prose = 0
    last: re.Match[str] | None = None
    for tag in _TAG.finditer(caption):
        if tag["close"] and last and not last["close"] and last["name"] == tag["name"] and not prose:
            yield last.end(), tag.start()
        if tag["name"] in _PROSE:
            prose = max(0, prose + (-1 if tag["close"] else 1))
        last = tag
