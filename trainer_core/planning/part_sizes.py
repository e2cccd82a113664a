"""Sizes of the text encoders and the VAE: those of the released model's, and those that headers tell."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from trainer_core.planning.headers import StoredTensor
from trainer_core.planning.tensor_names import (
    JINA_ADAPTER_A,
    JINA_ADAPTER_B,
    JINA_WEIGHT,
    NOT_GEMMA,
    NOT_JINA,
    bare_vae_names,
)
from trainer_core.planning.vae_constants import LATENT_CHANNELS

_LAYER = re.compile(r"(^|\.)layers\.(\d+)\.")


@dataclass(frozen=True, kw_only=True)
class TextEncoder:
    """Parameters that are loaded, widths of the stream and of the feed-forward part, elements of the largest tensor."""

    parameters: int
    hidden: int
    feed_forward: int
    largest: int


@dataclass(frozen=True, kw_only=True)
class Codec:
    """The VAE: parameters, channels of its widest maps at full size, channels of the latents."""

    parameters: int
    channels: int
    latent_channels: int


# Gemma3-4B without its last layer, final norm and vision tower; Jina CLIP v2's text tower; FLUX.1's VAE.
GEMMA = TextEncoder(parameters=3_785_878_016, hidden=2560, feed_forward=10_240, largest=262_208 * 2560)
JINA = TextEncoder(parameters=558_314_496, hidden=1024, feed_forward=4096, largest=250_002 * 1024)
VAE = Codec(parameters=83_819_683, channels=128, latent_channels=LATENT_CHANNELS)

Header = Mapping[str, StoredTensor]


def gemma_size(header: Header) -> TextEncoder | None:
    """Gemma3's language model, None where its names are not there."""
    shapes = {name: shape for name, shape in _shapes(header).items() if not NOT_GEMMA.match(name)}
    embedding = _matrix(shapes, "embed_tokens.weight")
    feed_forward = _matrix(shapes, "layers.0.mlp.gate_proj.weight")
    if embedding is None or feed_forward is None:
        return None
    depth = max(int(match[2]) for match in map(_LAYER.search, shapes) if match)
    # The last layer is not built: its output is not used.
    used = [
        shape for name, shape in shapes.items() if (match := _LAYER.search(name)) is not None and int(match[2]) < depth
    ]
    return TextEncoder(
        parameters=math.prod(embedding) + sum(map(math.prod, used)),
        hidden=embedding[1],
        feed_forward=feed_forward[0],
        largest=_largest(header),
    )


def jina_size(header: Header) -> TextEncoder | None:
    """Jina CLIP's text tower, None where its names are not there."""
    adapters = (JINA_ADAPTER_A, JINA_ADAPTER_B)
    own = {name: shape for name, shape in _shapes(header).items() if not NOT_JINA.match(name)}
    shapes = {name: shape for name, shape in own.items() if not name.endswith(adapters)}
    plain = {name.replace(JINA_WEIGHT, ".weight"): shape for name, shape in shapes.items()}
    embedding = _matrix(plain, "word_embeddings.weight")
    feed_forward = _matrix(plain, "layers.0.mlp.fc1.weight")
    if embedding is None or feed_forward is None:
        return None
    return TextEncoder(
        parameters=sum(map(math.prod, shapes.values())),
        hidden=embedding[1],
        feed_forward=feed_forward[0],
        largest=_largest(header),
    )


def vae_size(header: Header) -> Codec | None:
    """None where it is no VAE."""
    own = bare_vae_names(header) or {}
    shapes = {name: header[stored].shape for name, stored in own.items()}
    first = shapes.get("encoder.conv_in.weight", ())
    latent = shapes.get("decoder.conv_in.weight", ())
    if len(first) != 4 or len(latent) != 4:
        return None
    return Codec(parameters=sum(map(math.prod, shapes.values())), channels=first[0], latent_channels=latent[1])


def _shapes(header: Header) -> dict[str, tuple[int, ...]]:
    return {name: tensor.shape for name, tensor in header.items()}


def _largest(header: Header) -> int:
    """Elements of the largest tensor."""
    return max((math.prod(tensor.shape) for tensor in header.values()), default=0)


def _matrix(shapes: Mapping[str, tuple[int, ...]], ending: str) -> tuple[int, int] | None:
    """Shape of the first matrix of that name, under any prefix."""
    for name, shape in shapes.items():
        if (name == ending or name.endswith(f".{ending}")) and len(shape) == 2:
            return shape[0], shape[1]
    return None
