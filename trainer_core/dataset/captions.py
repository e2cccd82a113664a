"""Captions: tags or NewBie's XML, their variants, and the system prompt that Gemma reads before them."""

import random
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from trainer_core.contracts.config import TrainConfig
from trainer_core.dataset.order import keyed_seed

# Single tags, walked once, quantifiers that never give back: no caption takes quadratic time. No XML parser, so no
# entities either.
TAG = re.compile(r"<(?P<close>/?)(?P<name>[A-Za-z_][\w.-]*+)[^<>]*+(?<!/)>")
_START = re.compile(r"\s*<(character_\d+|general_tags|caption|image)(\s[^<>]*)?>")
_PROSE = frozenset({"caption", "n"})
# The fork's mark between captions of which one is taken.
PART_MARK = "<split>"
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
    for tag in TAG.finditer(caption):
        if tag["close"] and tag["name"] in opened:
            return True
        opened.add("" if tag["close"] else tag["name"])
    return False


def tags_of(caption: str) -> list[str]:
    """Every tag of a caption, in order; of XML, those inside its elements (prose and names left out)."""
    if not is_xml(caption):
        return split_tags(caption)
    return [tag for start, end in _leaves(caption) for tag in split_tags(caption[start:end])]


@dataclass(frozen=True, kw_only=True)
class CaptionRules:
    """What becomes of a caption before it is encoded, by the options that `of` reads."""

    seed: int = 0
    shuffle: bool = False
    keep_tokens: int = 0
    separator: str = ""
    tag_dropout: float = 0.0
    variants: int = 1
    parts: bool = False

    @classmethod
    def of(cls, config: TrainConfig) -> Self:
        return cls(
            seed=config.seed,
            shuffle=config.shuffle_caption,
            keep_tokens=config.keep_tokens,
            separator=config.keep_tokens_separator,
            tag_dropout=config.caption_tag_dropout_rate,
            variants=config.caption_variants,
            parts=config.enable_wildcard,
        )

    def written(self, caption: str) -> tuple[str, ...]:
        """The caption, or its parts, as they are written, without the marks that these rules read."""
        return tuple(map(self._unmarked, self._parts(caption)))

    def made(self, caption: str) -> tuple[str, ...]:
        """All that may be drawn for a caption, each as often as any other: a function of the rules and it only."""
        if not (self.shuffle or self.tag_dropout):
            return self.written(caption)
        return tuple(self._variant(part, number) for number in range(self.variants) for part in self._parts(caption))

    def _parts(self, caption: str) -> list[str]:
        """At least one; none is empty unless the caption is."""
        parts = caption.split(PART_MARK) if self.parts else []
        return [part.strip() for part in parts if part.strip()] or [""] if len(parts) > 1 else [caption]

    def _unmarked(self, part: str) -> str:
        return self._in_part(part, lambda rest, _: rest) if self.separator else part

    def _variant(self, part: str, number: int) -> str:
        rng = random.Random(keyed_seed(self.seed, "shuffle", part, number))

        def moved(text: str, keep: int | None) -> str:
            return self._moved(text, keep, rng)

        return self._in_part(part, moved)

    def _in_part(self, part: str, change: Callable[[str, int | None], str]) -> str:
        """Each list of tags changed; a separator that stood elsewhere, in prose inside XML, goes too."""
        changed = _in_lists(part, lambda text: self._rewritten(text, change))
        if not self.separator.strip() or self.separator not in changed:
            return changed
        return re.sub(rf"[ \t]*{re.escape(self.separator)}[ \t]*", " ", changed)

    def _rewritten(self, text: str, change: Callable[[str, int | None], str]) -> str:
        """A list of tags with what may be moved in it changed: told is how many at its start stay, None where others
        are before it."""
        if not self.separator:
            return change(text, self.keep_tokens)
        kept, mark, rest = text.partition(self.separator)
        # As kohya's scripts: what follows a second mark stays behind.
        rest, _, behind = rest.partition(self.separator)
        return _joined(_joined(kept, change(rest, None if kept.strip() else 0)), behind) if mark else text

    def _moved(self, text: str, keep: int | None, rng: random.Random) -> str:
        """Another order, and some tags fewer; a list that stands alone keeps one at least, and its white space."""
        tags = split_tags(text)
        if len(tags) < (1 if keep is None else 2):
            return text
        head, tail = tags[: keep or 0], tags[keep or 0 :]
        if self.shuffle:
            rng.shuffle(tail)
        if self.tag_dropout:
            left = [tag for tag in tail if rng.random() >= self.tag_dropout]
            tail = left if left or head or keep is None else tail[:1]
        return joined_tags(text, head + tail)


def _joined(kept: str, rest: str) -> str:
    """Two halves of a list of tags as one."""
    halves = (kept.rstrip(SEPARATORS + " \t"), rest.lstrip(SEPARATORS + " \t"))
    return ", ".join(half for half in halves if half.strip())


def with_tags(caption: str, change: Callable[[list[str]], list[str]]) -> str:
    """The caption with its tag list changed; in XML that of each innermost element. A list that stays equal keeps its
    spelling; white space around a list stays."""

    def rewritten(text: str) -> str:
        tags = split_tags(text)
        changed = change(tags)
        return text if changed == tags else joined_tags(text, changed)

    return _in_lists(caption, rewritten)


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
    for tag in TAG.finditer(caption):
        if tag["close"] and last and not last["close"] and last["name"] == tag["name"] and not prose:
            yield last.end(), tag.start()
        if tag["name"] in _PROSE:
            prose = max(0, prose + (-1 if tag["close"] else 1))
        last = tag
