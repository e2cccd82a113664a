"""Writing safetensors files tensor by tensor, so that memory grows with the largest tensor and not with the file.

The format is 8 bytes of header length, a JSON header (name -> dtype, shape, byte range), then the bytes in order
(https://github.com/huggingface/safetensors). `safetensors.torch.save_file` needs every tensor in memory at once.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from trainer_core.contracts.fsutil import whole_file
from trainer_core.contracts.phase_names import Report

DTYPE_NAMES = MappingProxyType(
    {
        torch.float64: "F64",
        torch.float32: "F32",
        torch.float16: "F16",
        torch.bfloat16: "BF16",
        torch.float8_e4m3fn: "F8_E4M3",
        torch.float8_e5m2: "F8_E5M2",
        torch.int64: "I64",
        torch.int32: "I32",
        torch.int16: "I16",
        torch.int8: "I8",
        torch.uint8: "U8",
        torch.bool: "BOOL",
    }
)
# What a person asks for (`forms.DTYPES`); None keeps what is stored.
DTYPE_OF: Mapping[str, torch.dtype | None] = MappingProxyType(
    {"keep": None, "bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
)
_ALIGNMENT = 8


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tensor to be written: its name in the new file, its dtype and its shape."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


def write_tensors(
    file: Path,
    entries: Iterable[Entry],
    read: Callable[[str], Tensor],
    *,
    metadata: Mapping[str, str] | None = None,
    report: Report = lambda name, done, total: None,
) -> None:
    """Write `file` atomically: `read(name)` is asked for one tensor after the other, on the CPU.

    Wider dtypes come first, then names: each tensor starts at a multiple of its own size, as readers expect.

    `report(name, done, total)` is called before each tensor, in bytes; it may raise to stop, and nothing stays then.

    Raises:
        OSError: the disk refused; the temporary file is removed.
        ValueError: `read` gave another dtype or shape than its entry states.
    """
    entries = _in_order(entries)
    total = sum(entry.nbytes for entry in entries)
    done = 0
    with whole_file(file) as temporary, open(temporary, "wb") as out:
        out.write(_header(entries, metadata or {}))
        for entry in entries:
            report(entry.name, done, total)
            out.write(_bytes_of(read(entry.name), entry))
            done += entry.nbytes


def hash_tensors(entries: Iterable[Entry], read: Callable[[str], Tensor]) -> str:
    """SHA-256 of what `write_tensors` would write behind the header, asked for in the same way.

    Raises ValueError as `write_tensors` does.
    """
    digest = sha256()
    for entry in _in_order(entries):
        digest.update(_bytes_of(read(entry.name), entry))
    return digest.hexdigest()


def _in_order(entries: Iterable[Entry]) -> list[Entry]:
    return sorted(entries, key=lambda entry: (-entry.dtype.itemsize, entry.name))


def _header(entries: Sequence[Entry], metadata: Mapping[str, str]) -> bytes:
    listing: dict[str, object] = {"__metadata__": dict(metadata)} if metadata else {}
    start = 0
    for entry in entries:
        assert entry.name not in listing, entry.name
        end = start + entry.nbytes
        listing[entry.name] = {
            "dtype": DTYPE_NAMES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [start, end],
        }
        start = end
    return header_bytes(listing)


def header_bytes(listing: Mapping[str, Any]) -> bytes:
    """A file's bytes before its tensors: name -> dtype, shape, byte range, and its free text."""
    text = json.dumps(listing, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return len(text).to_bytes(8, "little") + text


def _bytes_of(tensor: Tensor, entry: Entry) -> memoryview:
    if tensor.dtype != entry.dtype or tuple(tensor.shape) != entry.shape:
        found = f"{tensor.dtype} {tuple(tensor.shape)}"
        raise ValueError(f"{entry.name}: {found} was read where {entry.dtype} {entry.shape} was announced")
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
