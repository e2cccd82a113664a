"""Which main blocks a run keeps in host memory, and the bytes that move there. The arithmetic, without torch."""

from dataclasses import dataclass

from trainer_core.contracts.errors import UserError
from trainer_core.planning.quantised import quantised_parts
from trainer_core.planning.shapes import Dimensions, block_norms, linears

# Device buffers: the block in use and the two that come next.
RING = 3
# Of a tensor's first byte in its block's buffer. A GPU's kernels are chosen by it, up to this; torch gives no less.
ALIGNMENT = 256


@dataclass(frozen=True, kw_only=True)
class SwapBytes:
    """left: what no longer lies on the device. ring: its buffers there. host: what lies in host memory instead."""

    left: int
    ring: int
    host: int


def swapped_places(layers: int, count: int) -> tuple[int, ...]:
    """Places of `count` of the main blocks, spread evenly: those between two give the copies time.

    Raises UserError `swap_too_many`.
    """
    if count > layers:
        raise UserError(
            "swap_too_many",
            f"swap_blocks = {count}, but the transformer of this base has {layers} main blocks.",
            [f"Set swap_blocks = {layers} for all of them, or less."],
        )
    return tuple(place * layers // count for place in range(count))


def aligned(size: int) -> int:
    """The bytes that a tensor of that size takes in its block's buffer."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def swap_bytes(dims: Dimensions, kind: str, number: int, count: int) -> SwapBytes:
    """Of `count` blocks; more than there are count as all. kind, number: as in `base_bytes`."""
    count = min(count, dims.n_layers)
    tensors = _block_tensors(dims, kind, number)
    buffer = sum(map(aligned, tensors))
    return SwapBytes(left=count * sum(tensors), ring=min(RING, count) * buffer, host=count * buffer)


def _block_tensors(dims: Dimensions, kind: str, number: int) -> list[int]:
    """Bytes of each frozen tensor of one main block."""
    sizes = [length * number for length in block_norms(dims)]
    for layer in linears(dims):
        if layer.name.startswith("layers.0."):
            sizes += [layer.inputs * layer.outputs * number] if kind == "no" else quantised_parts(layer, kind)
            sizes += [layer.outputs * number] if layer.bias else []
    return sizes
