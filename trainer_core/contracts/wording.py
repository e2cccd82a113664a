"""How names are put into sentences."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def and_more(items: Sequence[T], most: int, show: Callable[[T], str]) -> str:
    """Up to ``most`` of the items as ``show`` writes them, then how many more there are."""
    more = len(items) - most
    return ", ".join(map(show, items[:most])) + (f" and {more} more" if more > 0 else "")


def cut_short(text: str, most: int) -> str:
    """The first ``most`` characters, with an ellipsis where that is not all: a file makes its names endless."""
    return text if len(text) <= most else text[:most] + "…"
