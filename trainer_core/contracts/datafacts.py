"""What a forecast needs to know of a data set: `dataset.facts` reads it, `planning` uses it."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Images of one size (pixels): how many there are, and how many an epoch shows (with repeats)."""

    width: int
    height: int
    images: int
    shown: int


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """Sizes and captions. `captions` counts distinct texts that get encoded, system prompt included.

    longest_tokens, mean_tokens: Gemma's tokens of such a text; `tokens_of` estimates them from the text's bytes.
    notes: sentences about the images as the training will use them.
    """

    buckets: tuple[Bucket, ...]
    captions: int
    longest_tokens: int
    mean_tokens: float
    notes: tuple[str, ...] = ()

    @property
    def images(self) -> int:
        return sum(bucket.images for bucket in self.buckets)


def tokens_of(text: str) -> int:
    """Gemma's tokens, estimated from above: one for every 3 bytes of UTF-8, and the start token.

    English words and tags have about 4 bytes a token, Chinese characters 3.
    """
    return 1 + math.ceil(len(text.encode("utf-8", "replace")) / 3)
