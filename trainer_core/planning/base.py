"""Sizes of a base model's four parts, from its files' headers; the released model's where those cannot be read."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.headers import HeaderProblem, Shapes, Stored, read_stored
from trainer_core.planning.shapes import Dimensions, read_dimensions

NOT_GEMMA = re.compile(r"(^|\.)(vision_tower|vision_model|multi_modal_projector)\.|(^|\.)(lm_head\.|spiece_model$)")
NOT_JINA = re.compile(r"^(vision_model\.|visual_projection\.|logit_scale$|spiece_model$)|\.lora_[AB]$")
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
VAE = Codec(parameters=83_819_683, channels=128, latent_channels=16)


@dataclass(frozen=True, kw_only=True)
class BaseSizes:
    """`assumed` names, with the reason, each part that was not measured but taken as released."""

    transformer: Dimensions = Dimensions()
    gemma: TextEncoder = GEMMA
    jina: TextEncoder = JINA
    vae: Codec = VAE
    assumed: tuple[str, ...] = ()


def read_base(config: TrainConfig) -> BaseSizes:
    """Reads headers only, a few kilobytes a file. Never raises: what cannot be read is assumed to be as released."""
    root = Path(config.base_model_path).expanduser() if config.base_model_path else None
    assumed: list[str] = []
    return BaseSizes(
        transformer=_part(root, "transformer", config.transformer_path, transformer_size, Dimensions(), assumed),
        gemma=_part(root, "text_encoder", config.gemma_model_path, gemma_size, GEMMA, assumed),
        jina=_part(root, "clip_model", config.clip_model_path, jina_size, JINA, assumed),
        vae=_part(root, "vae", config.vae_path, vae_size, VAE, assumed),
        assumed=tuple(assumed),
    )


T = TypeVar("T")


def _part(
    root: Path | None, name: str, own: str, read: Callable[[Stored], T | None], released: T, assumed: list[str]
) -> T:
    if not own and root is None:
        assumed.append(f"{name}: no path is set; taken as released.")
        return released
    path = Path(own).expanduser() if own or root is None else root / name
    try:
        found = read(read_stored(path))
    except HeaderProblem as problem:
        assumed.append(f"{name}: {problem}; taken as released.")
        return released
    if found is None:
        assumed.append(f"{name}: the names of the tensors in {path} are not known here; taken as released.")
        return released
    return found


def transformer_size(stored: Stored) -> Dimensions | None:
    """None where neither config nor shapes tell."""
    return read_dimensions(stored.config, stored.shapes)


def gemma_size(stored: Stored) -> TextEncoder | None:
    """Gemma3's language model, None where its names are not there."""
    shapes = {name: shape for name, shape in stored.shapes.items() if not NOT_GEMMA.search(name)}
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
        largest=stored.largest,
    )


def jina_size(stored: Stored) -> TextEncoder | None:
    """Jina CLIP's text tower, None where its names are not there."""
    shapes = {name: shape for name, shape in stored.shapes.items() if not NOT_JINA.search(name)}
    # A matrix with an adapter beside it is stored under a longer name.
    plain = {name.replace(".parametrizations.weight.original", ".weight"): shape for name, shape in shapes.items()}
    embedding = _matrix(plain, "word_embeddings.weight")
    feed_forward = _matrix(plain, "layers.0.mlp.fc1.weight")
    if embedding is None or feed_forward is None:
        return None
    return TextEncoder(
        parameters=sum(map(math.prod, shapes.values())),
        hidden=embedding[1],
        feed_forward=feed_forward[0],
        largest=stored.largest,
    )


def vae_size(stored: Stored) -> Codec | None:
    """None where it is no VAE."""
    first = stored.shapes.get("encoder.conv_in.weight", ())
    latent = stored.shapes.get("decoder.conv_in.weight", ())
    if len(first) != 4 or len(latent) != 4:
        return None
    return Codec(parameters=sum(map(math.prod, stored.shapes.values())), channels=first[0], latent_channels=latent[1])


def _matrix(shapes: Shapes, ending: str) -> tuple[int, int] | None:
    """Shape of the first matrix of that name, under any prefix."""
    for name, shape in shapes.items():
        if (name == ending or name.endswith(f".{ending}")) and len(shape) == 2:
            return shape[0], shape[1]
    return None
