"""Which weights a quantised base holds in fewer bits, and the bytes that they take. The arithmetic, without torch."""

import re

from trainer_core.planning.shapes import Dimensions, Linear, linears, parameter_count

# NF4 keeps one fp32 scale for each block of so many weights; int8 one for each row.
NF4_BLOCK = 64
_SCALE_BYTES = 4
_BLOCKS = re.compile(r"^(layers|noise_refiner|context_refiner)\.\d+\.")


def is_quantised(name: str) -> bool:
    """Linear layers of the blocks are: nine tenths of the model. Embedders, norms, biases and the output stay."""
    return _BLOCKS.match(name) is not None


def quantised_parts(layer: Linear, kind: str) -> list[int]:
    """Bytes of one weight [outputs, inputs]: its numbers, and their scales."""
    numbers = layer.inputs * layer.outputs
    if kind == "int8":
        return [numbers, _SCALE_BYTES * layer.outputs]
    return [-(-numbers // 2), _SCALE_BYTES * -(-numbers // NF4_BLOCK)]


def quantised_bytes(layer: Linear, kind: str) -> int:
    """Both parts together."""
    return sum(quantised_parts(layer, kind))


def base_bytes(dims: Dimensions, kind: str, number: int) -> int:
    """All weights of the transformer; `number` is the bytes of one that is not quantised, `kind` "no", int8 or nf4."""
    if kind == "no":
        return parameter_count(dims) * number
    held = [layer for layer in linears(dims) if is_quantised(layer.name)]
    spared = sum(layer.inputs * layer.outputs for layer in held)
    return (parameter_count(dims) - spared) * number + sum(quantised_bytes(layer, kind) for layer in held)


def unpacked_bytes(dims: Dimensions, kind: str, compute: int) -> int:
    """The largest weight as it is unpacked for its product, in `compute` bytes a number; int8 goes through fp32."""
    if kind == "no":
        return 0
    largest = max(layer.inputs * layer.outputs for layer in linears(dims) if is_quantised(layer.name))
    return largest * (compute + (4 if kind == "int8" else 0))
