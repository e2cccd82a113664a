"""All words of the pages in English and Chinese, one module an area; layout code holds no prose."""

from collections.abc import Iterable, Mapping
from functools import cache
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Literal, get_args

Lang = Literal["en", "zh"]
LANGS: tuple[Lang, ...] = get_args(Lang)
Pair = tuple[str, str]


@cache
def all_texts() -> Mapping[str, Pair]:
    """Every text, key -> (English, Chinese), of all areas. Raises ValueError where two areas use one key."""
    found: dict[str, Pair] = {}
    for module in iter_modules(__path__):
        texts: Mapping[str, Pair] = getattr(import_module(f"{__name__}.{module.name}"), "TEXTS", {})
        if twice := found.keys() & texts.keys():
            raise ValueError(f"texts.{module.name} repeats {', '.join(sorted(twice))}")
        found.update(texts)
    return MappingProxyType(found)


class Texts:
    """The words of one language: ``t("frame.title")``, ``t("dataset.images", count=3)`` (``str.format``)."""

    def __init__(self, lang: Lang) -> None:
        self.lang = lang
        self._column = LANGS.index(lang)

    def __call__(self, key: str, /, **values: object) -> str:
        """Raises KeyError for an unknown key, or where a value that the text names is missing."""
        text = all_texts()[key][self._column]
        return text.format(**values) if values else text

    def __contains__(self, key: str) -> bool:
        return key in all_texts()

    def phase(self, name: str) -> str:
        """What a job is doing, from the name that the engine has for it; one that is new stays as it is."""
        key = f"phase.{name}" if name else "queue.starting"
        return self(key) if key in self else name

    def joined(self, parts: Iterable[str]) -> str:
        """A list within a sentence."""
        return ("、" if self.lang == "zh" else ", ").join(parts)

    def pick(self, pair: Pair) -> str:
        """This language's half of (English, Chinese)."""
        return pair[self._column]
