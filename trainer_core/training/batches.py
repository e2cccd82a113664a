"""One micro-batch (the images of a batch that are computed at once) from the cache.

Every random choice is a function of (seed, step, index in the global batch).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from trainer_core.contracts.config import TrainConfig
from trainer_core.dataset.order import keyed_seed
from trainer_core.training.features import Sample
from trainer_core.training.flow import draw_time, shift_mu, shift_time
from trainer_core.training.sampling import TextFeatures


class Features(Protocol):
    """What a batch is made of: the store of a data set (`FeatureStore`), or what stands for it."""

    def latents(self, sample: Sample) -> Tensor: ...

    def text(self, gemma_key: str, jina_key: str) -> TextFeatures: ...

    def gemma_key(self, text: str) -> str: ...

    def jina_key(self, text: str) -> str: ...


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Model inputs. data and noise [B, C, H, W] fp32, t [B], text right padded [B, L, D], its lengths [B]."""

    data: Tensor
    noise: Tensor
    t: Tensor
    cap_feats: Tensor
    cap_lengths: tuple[int, ...]
    pooled: Tensor


def make_batch(
    config: TrainConfig,
    store: Features,
    samples: Sequence[Sample],
    *,
    step: int,
    first_index: int,
    patch: int,
) -> Batch:
    """The batch of `samples`, whose first one has index `first_index` in the global batch of `step`. On the CPU."""
    data = torch.stack([store.latents(sample) for sample in samples])
    mu = shift_mu(data.shape[-1] * data.shape[-2] // patch**2)
    noise, times, texts = [], [], []
    for offset, sample in enumerate(samples):
        key = (config.seed, step, first_index + offset)
        generator = torch.Generator().manual_seed(keyed_seed(*key, "noise"))
        times.append(draw_time(config.timestep_sampling, generator))
        noise.append(torch.randn(data.shape[1:], generator=generator))
        texts.append(_choose_text(config, store, sample, random.Random(keyed_seed(*key, "caption"))))
    return Batch(
        data=data,
        noise=torch.stack(noise),
        t=shift_time(torch.stack(times), mu),
        cap_feats=pad_sequence([text.cap_feats.float() for text in texts], batch_first=True),
        cap_lengths=tuple(len(text.cap_feats) for text in texts),
        pooled=torch.stack([text.pooled.float() for text in texts]),
    )


def _choose_text(config: TrainConfig, store: Features, sample: Sample, rng: random.Random) -> TextFeatures:
    """One of the cached caption variants; a dropped caption blanks Gemma's text and, if asked for, Jina's too."""
    gemma, jina = sample.texts[rng.randrange(len(sample.texts))]
    if rng.random() < config.caption_dropout_rate:
        gemma = store.gemma_key("")
        jina = store.jina_key("") if config.caption_dropout_jina else jina
    return store.text(gemma, jina)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """All its tensors; the lengths are for the host."""
    parts = vars(batch).items()
    sent: dict[str, Any] = {name: _sent(part, device) for name, part in parts if isinstance(part, Tensor)}
    return replace(batch, **sent)


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    # From pinned memory the copy goes on beside the work before it.
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)
