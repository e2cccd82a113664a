"""Which of the files that arrive belong together: pure decisions by name, before anything is opened."""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainer_core.dataset.finding import OTHER_PICTURES
from trainer_core.dataset.images import SUFFIXES

# As other programs export the captions of a whole data set.
_LISTS = frozenset({".json", ".jsonl", ".csv", ".tsv", ".parquet"})


@dataclass(frozen=True, kw_only=True)
class IncomingFile:
    """One picture or caption to be taken in.

    Attributes:
        shown: what the person knows it by.
        name: file name, not yet made safe.
        group: files of one group with the same stem belong together; "" for plain files, whose folders are not known.
        concept: folder it asks for by the folder it came in; "" = the chosen one.
        size: bytes.
        origin: the uploaded file: itself, or the zip it is in.
        entry: its place in the zip's list; -1 for a plain file.
    """

    shown: str
    name: str
    size: int
    origin: Path
    group: str = ""
    concept: str = ""
    entry: int = -1

    @property
    def stem(self) -> str:
        return unicodedata.normalize("NFC", PurePosixPath(self.name).stem)


@dataclass(frozen=True, kw_only=True)
class RefusedFile:
    """Something that was not taken in. ``reason`` is the key of its sentence; ``detail`` fills that."""

    name: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A picture with the caption that came with it."""

    picture: IncomingFile
    caption: IncomingFile | None


@dataclass(frozen=True, kw_only=True)
class ImportPlan:
    """What to take in. Lone captions may belong to pictures that are there already; doubtful ones to one of several."""

    pairs: tuple[Pair, ...]
    lone_captions: tuple[IncomingFile, ...]
    doubtful: tuple[IncomingFile, ...]


def kind_of(name: str) -> str:
    """ "picture", "caption", "zip", or the reason to refuse it: "format" (another picture), "list" (of captions, as it
    looks) or "kind"."""
    suffix = PurePosixPath(name.lower()).suffix
    if suffix in SUFFIXES:
        return "picture"
    if suffix in (".txt", ".zip"):
        return "caption" if suffix == ".txt" else "zip"
    if suffix in OTHER_PICTURES:
        return "format"
    return "list" if suffix in _LISTS else "kind"


def plan_of(incoming: Iterable[IncomingFile]) -> ImportPlan:
    """Pair by stem within each group. One caption serves all pictures of its stem; as many captions as pictures, which
    came from several folders, are paired in their order. The caption of a.png may be called a.png.txt as well."""
    items = list(incoming)
    texts = {(item.group, item.stem) for item in items if kind_of(item.name) == "caption"}
    groups: dict[tuple[str, str], tuple[list[IncomingFile], list[IncomingFile]]] = {}
    for item in items:
        shown = kind_of(item.name) == "picture"
        key, whole = (item.group, item.stem), (item.group, unicodedata.normalize("NFC", item.name))
        pictures, captions = groups.setdefault(
            whole if shown and key not in texts and whole in texts else key, ([], [])
        )
        (pictures if shown else captions).append(item)
    pairs: list[Pair] = []
    lone: list[IncomingFile] = []
    doubtful: list[IncomingFile] = []
    for (group, _), (pictures, captions) in groups.items():
        if not group and len(pictures) != len(captions) and max(len(pictures), len(captions)) > 1:
            # Of several folders, some without a caption or a picture of this name.
            doubtful += captions
            captions = []
        spread = _spread(captions, len(pictures))
        pairs += [Pair(picture=p, caption=c) for p, c in zip(pictures, spread, strict=True)]
        lone += captions[len(pictures) :]
    return ImportPlan(pairs=tuple(pairs), lone_captions=tuple(lone), doubtful=tuple(doubtful))


def _spread(captions: Sequence[IncomingFile], count: int) -> list[IncomingFile | None]:
    """A caption for each of ``count`` pictures, as far as there are any."""
    if len(captions) == 1:
        return [captions[0]] * count
    return [captions[place] if place < len(captions) else None for place in range(count)]
