"""What the engine says in English, in the language of the page.

The engine has one wording for each message; the catalogue (`texts/messages*.py`) has the Chinese of every such
wording, as gettext has it: keyed by the English one, in which ``{}`` stands for what was put in. A message is often
several of them in a row, or one inside another; each part is looked up by itself. What is unknown stays English, and
what was put in stays as it is unless the catalogue says that it is text as well.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import islice

from newbie_gui.texts.messages import CATALOGUE
from trainer_core.contracts.errors import UserError

# Longer lines hold a whole file or a library's dump: looking for sentences there costs time and finds none.
_LONGEST_LINE = 4000
# Spans of so many sentences are looked up together; no message of ours is longer.
_MOST_SENTENCES = 8
# A value may hold the words that end it; so many ways to read a text are tried.
_MOST_SPLITS = 16
# So many texts may stand one inside another; ours have eight (a range in a list in a problem).
_DEEPEST = 12
_LINE = re.compile(r"(\s*(?:[-*] +)?)(.*)", re.DOTALL)
_SENTENCE_END = re.compile(r"(?<=[.:!?…])\s+|;\s+")
_HOLE = re.compile(r"\{(\d?)([nwtxvl]?)\}")
_NUMBER = re.compile(r"[+-]?[\d.,]+(e[+-]?\d+)?")
_AND_MORE = re.compile(r" and (\d+) more$")
# Not those inside the brackets of a shape.
_COMMA = re.compile(r", (?![^\[(]*[\])])")
_WORD = re.compile(r"[A-Za-z]{2}")
_SEAM = re.compile("[一-鿿][A-Za-z0-9/-]|[A-Za-z0-9/][一-鿿]")
_CLOSED = "。：；，！？、…）"


@dataclass(frozen=True, kw_only=True)
class ChineseText:
    """A text in Chinese.

    Attributes:
        weight: letters of it that the catalogue knew.
        known: it knew every word of ours.
        own: letters of the pair that was found first; of two readings that know as much the one with more is simpler.
    """

    text: str
    weight: int
    known: bool
    own: int = 0

    @property
    def rank(self) -> tuple[int, bool, int]:
        return self.weight, self.known, self.own


@dataclass(frozen=True, kw_only=True)
class _Hole:
    """A place in the Chinese for the value of hole `index`; the kinds are explained in `texts.messages`."""

    index: int
    kind: str


@dataclass(frozen=True)
class _Entry:
    english: str
    chinese: str

    @cached_property
    def parts(self) -> list[str]:
        """The literal parts of the English text, one more than there are holes."""
        return self.english.split("{}")

    @cached_property
    def mark(self) -> str:
        """What a text must contain to be worth a closer look."""
        return max(self.parts, key=len)

    @cached_property
    def alone(self) -> ChineseText:
        """The reading of an entry without holes."""
        return ChineseText(text=self.chinese, weight=self.letters, known=True, own=self.letters)

    @cached_property
    def letters(self) -> int:
        """How much of a text it knows."""
        return sum(letter.isalpha() for part in self.parts for letter in part)

    @cached_property
    def pieces(self) -> list[str | _Hole]:
        """The Chinese text, cut at its holes; those without a number count up."""
        pieces: list[str | _Hole] = []
        done = count = 0
        for found in _HOLE.finditer(self.chinese):
            index = int(found[1]) if found[1] else count
            pieces += [self.chinese[done : found.start()], _Hole(index=index, kind=found[2])]
            done, count = found.end(), count + 1
        return [*pieces, self.chinese[done:]]


class Catalogue:
    """Looks texts up in pairs of (English with ``{}``, Chinese with ``{}``) as `texts.messages` describes them."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        entries = [_Entry(english, chinese) for english, chinese in pairs]
        self._whole = {entry.english: entry for entry in entries if "{}" not in entry.english}
        self._open = [entry for entry in entries if "{}" in entry.english]

    def read(self, text: str) -> ChineseText:
        """`text` in Chinese, line by line; what is unknown stays."""
        readings = [self._line(line) for line in text.split("\n")]
        return ChineseText(
            text="\n".join(reading.text for reading in readings),
            weight=sum(reading.weight for reading in readings),
            known=all(reading.known for reading in readings),
        )

    def _line(self, line: str) -> ChineseText:
        if len(line) > _LONGEST_LINE:
            return _unknown(line)
        found = _LINE.fullmatch(line)
        assert found is not None, line
        candidates = [entry for entry in self._open if entry.mark in line]
        made = _Line(self._whole, candidates).sentences(found[2])
        return ChineseText(text=found[1] + made.text, weight=made.weight, known=made.known)


class _Line:
    """Reads one line and all that is put into it; `candidates`: the pairs that may occur in it."""

    def __init__(self, whole: Mapping[str, _Entry], candidates: Sequence[_Entry]) -> None:
        self._whole = whole
        self._candidates = candidates
        # The same words are asked for again with every way to cut the line.
        self._read: dict[str, ChineseText] = {}
        self._cut: dict[str, ChineseText] = {}
        self._depth = 0

    def sentences(self, text: str) -> ChineseText:
        """The way to cut `text` into texts of the catalogue that leaves the fewest letters unknown."""
        if text in self._cut:
            return self._cut[text]
        if self._depth == _DEEPEST:
            return _unknown(text)
        self._depth += 1
        self._cut[text] = self._best_cut(text)
        self._depth -= 1
        return self._cut[text]

    def _best_cut(self, text: str) -> ChineseText:
        ends = [found.span() for found in _SENTENCE_END.finditer(text)]
        starts, stops = [0, *(end for _, end in ends)], [*(begin for begin, _ in ends), len(text)]
        best = [ChineseText(text="", weight=0, known=True)]
        for last, stop in enumerate(stops):
            options = []
            for first in range(max(0, last + 1 - _MOST_SENTENCES), last + 1):
                between = text[stops[first - 1] : starts[first]] if first else ""
                options.append(_joined(best[first], between, self._one(text[starts[first] : stop])))
            best.append(max(options, key=lambda reading: reading.rank))
        return best[-1]

    def _one(self, text: str) -> ChineseText:
        """One text of the catalogue with what was put into it, or `text` as it is."""
        if text not in self._read:
            whole = self._whole.get(text)
            self._read[text] = whole.alone if whole is not None else self._one_of_many(text)
        return self._read[text]

    def _one_of_many(self, text: str) -> ChineseText:
        made = [self._filled(entry, text) for entry in self._candidates if entry.mark in text]
        found = [reading for reading in made if reading is not None]
        return max([_unknown(text), *found], key=lambda reading: reading.rank)

    def _filled(self, entry: _Entry, text: str) -> ChineseText | None:
        """The Chinese of `entry` with the values that `text` has in its place; None where it does not fit."""
        tried = islice(_splits(entry.parts, text), _MOST_SPLITS)
        return next((made for values in tried if (made := self._filled_with(entry, values)) is not None), None)

    def _filled_with(self, entry: _Entry, values: Sequence[str]) -> ChineseText | None:
        text, weight = "", entry.letters
        for piece in entry.pieces:
            if isinstance(piece, str):
                text = _beside(text, piece)
                continue
            made = self._value(values[piece.index], piece.kind)
            if made is None:
                return None
            text, weight = _beside(text, made.text), weight + made.weight
        return ChineseText(text=text, weight=weight, known=True, own=entry.letters) if weight else None

    def _value(self, value: str, kind: str) -> ChineseText | None:
        """What is put in for `value`; None where it is not of that kind."""
        if kind == "n":
            return _as_it_is(value) if _NUMBER.fullmatch(value) else None
        if kind == "w":
            return None if " " in value else _as_it_is(value)
        if kind == "v":
            return _as_it_is(_AND_MORE.sub(r" 等（另有 \1 个）", value))
        if kind == "l":
            return _listed([self._text(part) for part in _COMMA.split(_AND_MORE.sub("", value))], value)
        if kind in ("t", "x"):
            made = self._text(value)
            return made if made.known or kind == "x" else None
        return _as_it_is(value)

    def _text(self, value: str) -> ChineseText:
        # A value may begin or end in the space that sets it off from the English around it.
        made = self.sentences(value.strip())
        return made if made.weight else ChineseText(text=value, weight=0, known=made.known)


def translate(text: str, lang: str) -> str:
    """A text of the engine in `lang`, "en" or "zh". What is not known is returned in English, letter by letter."""
    if lang != "zh":
        return text
    # A log in an error's place must not fill the memory.
    return _chinese(text) if len(text) <= _LONGEST_LINE else catalogue().read(text).text


def say(error: UserError, lang: str) -> str:
    """The message of an error, without its hints."""
    return translate(error.message, lang)


def hints(error: UserError, lang: str) -> tuple[str, ...]:
    """What may be done about an error, one sentence each."""
    return tuple(translate(hint, lang) for hint in error.hints)


@cache
def catalogue() -> Catalogue:
    """All that the engine says."""
    return Catalogue(CATALOGUE)


@lru_cache(maxsize=1024)
def _chinese(text: str) -> str:
    return catalogue().read(text).text


def _splits(parts: Sequence[str], text: str) -> Iterator[tuple[str, ...]]:
    """What may stand in the holes between `parts` for the whole to be `text`; the shortest values first."""
    if len(parts) > 1 and text.startswith(parts[0]) and text.endswith(parts[-1]):
        yield from _splits_after(parts, 1, text, len(parts[0]))


def _splits_after(parts: Sequence[str], number: int, text: str, start: int) -> Iterator[tuple[str, ...]]:
    """As `_splits`, for the holes from the one before part `number` on, which begins at `start`."""
    part = parts[number]
    if number == len(parts) - 1:
        end = len(text) - len(part)
        if start <= end:
            yield (text[start:end],)
        return
    at = text.find(part, start)
    while at >= 0:
        fits = False
        for rest in _splits_after(parts, number + 1, text, at + len(part)):
            fits = True
            yield (text[start:at], *rest)
        # What does not fit behind this place fits behind no later one.
        at = text.find(part, at + 1) if fits else -1


def _as_it_is(value: str) -> ChineseText:
    return ChineseText(text=value, weight=0, known=True)


def _listed(made: Sequence[ChineseText], value: str) -> ChineseText:
    """A list of texts; how many more there are is said at the end of `value`."""
    more = _AND_MORE.search(value)
    return ChineseText(
        text="、".join(reading.text for reading in made) + (f" 等（另有 {more[1]} 个）" if more else ""),
        weight=sum(reading.weight for reading in made),
        known=all(reading.known for reading in made),
    )


def _unknown(text: str) -> ChineseText:
    return ChineseText(text=text, weight=0, known=_WORD.search(text) is None)


def _joined(before: ChineseText, between: str, after: ChineseText) -> ChineseText:
    """Two texts in a row; Chinese ones need no space after a full stop, and a semicolon of their own."""
    if after.weight and (before.weight or not before.text):
        between = "；" if between.startswith(";") else "" if before.text.endswith(tuple(_CLOSED)) else between
    return ChineseText(
        text=before.text + between + after.text,
        weight=before.weight + after.weight,
        known=before.known and after.known,
        own=before.own + after.own,
    )


def _beside(before: str, after: str) -> str:
    """Both in a row, with the space that Chinese has beside Latin letters and digits."""
    return f"{before} {after}" if _SEAM.fullmatch(before[-1:] + after[:1]) else before + after
