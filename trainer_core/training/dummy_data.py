"""Pictures and captions that nobody drew: random features of given sizes, for steps that are only measured."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

from trainer_core.dataset.scan import ImageItem
from trainer_core.training.features import Sample
from trainer_core.training.sampling import TextFeatures


class RandomFeatures:
    """Stands for the feature cache: latents [channels, height / 8, width / 8] and captions, drawn anew each time.

    The name of a text is its number of tokens; a dropped caption, whose name is empty, has one.
    """

    def __init__(self, *, channels: int, caption_dim: int, pooled_dim: int) -> None:
        self._channels = channels
        self._caption_dim = caption_dim
        self._pooled_dim = pooled_dim

    def latents(self, sample: Sample) -> Tensor:
        width, height = sample.bucket
        return torch.randn(self._channels, height // 8, width // 8)

    def text(self, gemma_key: str, jina_key: str) -> TextFeatures:
        features = torch.randn(int(gemma_key or 1), self._caption_dim)
        return TextFeatures(cap_feats=features, pooled=torch.randn(self._pooled_dim))

    def gemma_key(self, text: str) -> str:
        return text

    jina_key = gemma_key


def dummy_samples(size: tuple[int, int], caption_tokens: Sequence[int]) -> list[Sample]:
    """A sample of `size` (width, height in pixels) for each number of caption tokens."""
    width, height = size
    item = ImageItem(
        path=Path("x.png"), relative=PurePosixPath("x.png"), caption="", repeats=1, width=width, height=height
    )
    return [
        Sample(item=item, image_hash="", bucket=size, latents="", texts=((str(tokens), ""),))
        for tokens in caption_tokens
    ]
