"""Finding a base model in any layout, and loading its transformer."""

from collections.abc import Callable
from pathlib import Path

import torch

from trainer_core.model.layouts import open_transformer
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.swapping import BlockPlacement, Swapping
from trainer_core.model.weights import load_strict
from trainer_core.planning import base_parts
from trainer_core.planning.base_parts import BaseFolder
from trainer_core.planning.comfy import Widths, widths_of
from trainer_core.planning.shapes import Dimensions
from trainer_core.planning.swapped import swapped_places
from trainer_core.planning.transformer_config import WHAT, read_dimensions


def find_base(path: Path | None, **named: Path | None) -> BaseFolder:
    """`base_parts.find_base`, with transformers read in every form that can be loaded, torch's own included."""
    return base_parts.find_base(path, widths=_widths, **named)


def find_transformer(path: Path) -> Path:
    """The transformer of a base in any layout, or `path` itself where it is one: the other parts may be absent.

    Raises UserError: "base_missing", "base_incomplete", "base_ambiguous".
    """
    return base_parts.parts_of(path, ["transformer"], None, _widths)[0]["transformer"]


def _widths(transformer: Path) -> Widths:
    with open_transformer(transformer) as source:
        return widths_of({name: name for name in source.names()}, source.shape)


def transformer_dimensions(path: Path) -> Dimensions:
    """The sizes of a transformer in any layout. Raises UserError as `read_dimensions` and `open_transformer` do."""
    with open_transformer(path) as source:
        return read_dimensions(path, source)


def load_transformer(
    path: Path,
    *,
    dtype: torch.dtype,
    device: torch.device | str = "cpu",
    quantise: str = "no",
    swap: int = 0,
    warn: Callable[[str], None] = lambda sentence: None,
) -> NextDiT:
    """Builds and fills the transformer from any layout; frozen, in evaluation mode.

    quantise: "no", "int8" or "nf4", how the blocks' linear layers are held; each goes in right after it was read.
    swap: so many main blocks' weights are read to host memory and stay there; they are never all on the device.
    warn: is told where that memory is slower than it should be.

    Raises UserError: "config_unreadable", "config_mismatch", "weights_mismatch", what `open_transformer` raises, and
    "swap_too_many".
    """
    device = torch.device(device)
    with open_transformer(path) as source:
        model = empty_transformer(read_dimensions(path, source))
        places = swapped_places(len(model.layers), swap)
        placement = BlockPlacement(places, device, quantise)
        load_strict(model, source, what=WHAT, dtype=dtype, device=device, place=placement, where=placement.where)
    if places and (problem := Swapping(model, places, device).problem):
        warn(problem)
    return model.eval()


def empty_transformer(dims: Dimensions) -> NextDiT:
    """The transformer without its weights (on the meta device)."""
    with torch.device("meta"):
        return NextDiT(**vars(dims))
