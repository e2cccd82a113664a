"""Sizes of a base model's four parts, from its files' headers; the released model's where those cannot be read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.planning.base_places import Places, locate
from trainer_core.planning.part_check import another_model, header_at, transformer_shapes
from trainer_core.planning.part_sizes import (
    GEMMA,
    JINA,
    VAE,
    Codec,
    Header,
    TextEncoder,
    gemma_size,
    jina_size,
    vae_size,
)
from trainer_core.planning.shapes import Dimensions
from trainer_core.planning.transformer_config import read_dimensions


@dataclass(frozen=True, kw_only=True)
class BaseSizes:
    """`assumed` names, with the reason, each part that was not measured but taken as released."""

    transformer: Dimensions = Dimensions()
    gemma: TextEncoder = GEMMA
    jina: TextEncoder = JINA
    vae: Codec = VAE
    assumed: tuple[str, ...] = ()


T = TypeVar("T")


def read_base(config: TrainConfig) -> BaseSizes:
    """Reads headers only, a few kilobytes a file. Never raises: what cannot be read is assumed to be as released."""
    places = locate(vars(config))
    assumed: list[str] = []

    def measured(part: str, size_of: Callable[[Path, Header], T | None], released: T) -> T:
        try:
            return _size(places, part, size_of)
        except UserError as error:
            assumed.append(f"{part}: taken as released. {error}")
            return released

    return BaseSizes(
        transformer=measured("transformer", _transformer_size, Dimensions()),
        gemma=measured("text_encoder", lambda _, header: gemma_size(header), GEMMA),
        jina=measured("clip_model", lambda _, header: jina_size(header), JINA),
        vae=measured("vae", lambda _, header: vae_size(header), VAE),
        assumed=tuple(assumed),
    )


def _size(places: Places, part: str, size_of: Callable[[Path, Header], T | None]) -> T:
    """Raises UserError where the part is not here, or tells no sizes."""
    path = places.path_of(part)
    header = header_at(part, path)
    size = size_of(path, header)
    if size is None:
        raise another_model(part, path, header)
    return size


def _transformer_size(path: Path, header: Header) -> Dimensions:
    return read_dimensions(path, transformer_shapes(path, header))
