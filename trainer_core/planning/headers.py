"""Shapes of stored tensors, read from safetensors headers alone: 8 bytes of length, then that much JSON."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer_core.contracts.errors import UserError

# The format's own limit.
MAX_HEADER_BYTES = 100_000_000
# Of one number in the format's own words; other words are for formats that are newer than this list.
BITS: Mapping[str, int] = MappingProxyType(
    {
        "F4": 4, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "BOOL": 8, "U8": 8, "I8": 8,
        "F16": 16, "BF16": 16, "U16": 16, "I16": 16, "F32": 32, "U32": 32, "I32": 32,
        "F64": 64, "U64": 64, "I64": 64, "C64": 64,
    }
)  # fmt: skip


class HeaderProblem(Exception):
    """A file or folder whose tensors cannot be listed; the text says which and why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredTensor:
    """One tensor: its dtype in the format's own word ("F32", "BF16"), and its bytes' place in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """A safetensors file's tensors by name, and its free text."""

    tensors: Mapping[str, StoredTensor]
    metadata: Mapping[str, str]


def read_header(file: Path, limit: int = MAX_HEADER_BYTES) -> Header:
    """What a safetensors file says about itself; `limit`: bytes of header from which on a file is refused.

    Raises HeaderProblem for anything but a whole safetensors file, OSError.
    """
    if not file.is_file():
        raise HeaderProblem(f"{file} is missing")
    size = file.stat().st_size
    with open(file, "rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= size - 8:
            raise HeaderProblem(f"{file} is not a safetensors file")
        if length > limit:
            raise HeaderProblem(f"the header of {file} is too large ({length:,} bytes; allowed: up to {limit:,})")
        text = stream.read(length)
    try:
        entries = json.loads(text)
        metadata = entries.pop("__metadata__", {}) or {}
        header = Header(
            tensors={name: _tensor(entry, 8 + length) for name, entry in entries.items()},
            metadata={str(key): str(value) for key, value in metadata.items()},
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HeaderProblem(f"{file} is not a safetensors file") from error
    wanted = max((tensor.end for tensor in header.tensors.values()), default=8 + length)
    if size < wanted:
        raise HeaderProblem(f"{file} was cut short: it has {size:,} of {wanted:,} bytes")
    return header


def _tensor(entry: Mapping[str, Any], data: int) -> StoredTensor:
    dtype, shape = entry["dtype"], tuple(entry["shape"])
    start, end = entry["data_offsets"]
    if not all(type(size) is int and size >= 0 for size in (*shape, start, end - start)) or type(dtype) is not str:
        raise ValueError(entry)
    # A header that lies about its bytes would make an estimate of anything.
    bits = BITS.get(dtype)
    if bits is not None and math.prod(shape) * bits != (end - start) * 8:
        raise ValueError(entry)
    return StoredTensor(dtype=dtype, shape=shape, start=data + start, end=data + end)


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a model folder. Raises UserError("config_unreadable")."""
    file = folder / "config.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            "config_unreadable",
            f"{file} cannot be read ({error}); it must be the JSON file that came with the model.",
            ["Fetch config.json again, next to the weights."],
        ) from error
    if not isinstance(values, dict):
        raise UserError("config_unreadable", f"{file} must hold a JSON object, not a {type(values).__name__}.")
    return values
