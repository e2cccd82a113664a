"""Captions: tags or NewBie's XML, their shuffled variants, and the system prompt that Gemma reads before them."""

import random
import re
from collections.abc import Callable

from trainer_core.dataset.order import keyed_seed

_XML = re.compile(r"<(character_\d+|general_tags|caption|image|n)>.*</\1>", re.DOTALL)
_LEAF = re.compile(r"<(?P<name>[A-Za-z_]\w*)>(?P<text>[^<>]*)</(?P=name)>")
_PROSE = frozenset({"caption", "n"})


def is_xml(caption: str) -> bool:
    """True for NewBie's XML captions: at least one of its elements, opened and closed."""
    return _XML.search(caption) is not None


def _split(text: str) -> list[str]:
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def tags_of(caption: str) -> list[str]:
    """Every tag of a caption, in order; of XML, those inside its elements (prose and names left out)."""
    if not is_xml(caption):
        return _split(caption)
    return [tag for leaf in _LEAF.finditer(caption) if leaf["name"] not in _PROSE for tag in _split(leaf["text"])]


def shuffle_tags(caption: str, *, keep_tokens: int, rng: random.Random) -> str:
    """Shuffle comma-separated tags, the first `keep_tokens` staying in place.

    In XML each element's list is shuffled by itself, never across elements, and `keep_tokens` does not count;
    <caption> prose and <n> names stay.
    """

    def shuffled(text: str, keep: int) -> str:
        tags = _split(text)
        head, tail = tags[:keep], tags[keep:]
        rng.shuffle(tail)
        return ", ".join(head + tail)

    def leaf(match: re.Match[str]) -> str:
        name, text = match["name"], match["text"]
        return match[0] if name in _PROSE or "," not in text else f"<{name}>{shuffled(text, 0)}</{name}>"

    return _LEAF.sub(leaf, caption) if is_xml(caption) else shuffled(caption, keep_tokens)


def variants(caption: str, count: int, *, keep_tokens: int, seed: int, shuffle: bool) -> tuple[str, ...]:
    """The caption alone, or `count` shuffles of it: a function of (seed, caption) only."""
    if not shuffle:
        return (caption,)
    make: Callable[[int], str] = lambda number: shuffle_tags(  # noqa: E731
        caption, keep_tokens=keep_tokens, rng=random.Random(keyed_seed(seed, "shuffle", caption, number))
    )
    return tuple(make(number) for number in range(count))


def spaced(prompt: str) -> str:
    """A system prompt with the space it must end in; an empty one stays empty."""
    return prompt if not prompt or prompt[-1].isspace() else prompt + " "


def gemma_text(caption: str, prompt_tags: str, prompt_xml: str) -> str:
    """What Gemma reads: the system prompt of the caption's kind, then the caption."""
    return spaced(prompt_xml if is_xml(caption) else prompt_tags) + caption
