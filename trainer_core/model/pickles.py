"""Reading torch's own files (.pth, .pt, .ckpt) without ever running what they contain.

Promises: torch's restricted unpickler only, which knows tensors and plain containers; the file is memory-mapped,
so a tensor takes memory when it is read and not before.
"""

import pickle
import re
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.model.weights import Closing

# Keys under which trainers have put the weights beside other things, outermost first.
WRAPPERS = ("state_dict", "model", "module")
FOREIGN_GLOBAL = re.compile(r"(?:GLOBAL|import) ([\w.]+)")
# What damaged bytes make of an unpickler: it fails wherever the damage leads it.
DAMAGE = (
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    AssertionError,
    OSError,
    struct.error,
)


class PickleFile(Closing):
    """One torch file seen as `OpenFiles`; a context manager."""

    def __init__(self, file: Path) -> None:
        """Raises UserError: "weights_unsafe" (needs code), "weights_broken", "weights_missing" (no tensors)."""
        self._location = file
        self._tensors = _tensors_of(load_pickle(file), file)

    @property
    def location(self) -> str:
        return str(self._location)

    def names(self) -> Sequence[str]:
        return sorted(self._tensors)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._tensors[name].shape)

    def dtype(self, name: str) -> torch.dtype:
        return self._tensors[name].dtype

    def read(self, name: str) -> Tensor:
        return self._tensors[name].detach()

    def close(self) -> None:
        self._tensors = {}


def load_pickle(file: Path) -> Any:
    """What a torch file holds. Raises UserError: "weights_unsafe" (needs code, which is not run), "weights_broken"."""
    with open(file, "rb") as stream:
        zipped = stream.read(2) == b"PK"
    try:
        if file.name.endswith(".safetensors"):
            # torch goes by this ending and would take the file for what it is not.
            with open(file, "rb") as stream:
                return torch.load(stream, map_location="cpu", weights_only=True)
        # Only the zip form can be mapped; the old form is read whole.
        return torch.load(file, map_location="cpu", weights_only=True, mmap=zipped)
    except pickle.UnpicklingError as error:
        raise _refused(file, str(error)) from error
    except DAMAGE as error:
        raise UserError(
            "weights_broken",
            f"{file} is not a readable torch file ({_first_line(error)}).",
            ["The download was probably cut short: delete the file and fetch it again."],
        ) from error


def _refused(file: Path, text: str) -> UserError:
    found = FOREIGN_GLOBAL.search(text)
    if found is None and "eights only" not in text:
        return UserError("weights_broken", f"{file} is not a readable torch file ({text.splitlines()[0]}).")
    asked = f" It asks for {found[1]}." if found else ""
    return UserError(
        "weights_unsafe",
        f"{file} needs program code of its own to be opened, and such code is never run here.{asked}",
        [
            "Ask for the weights as .safetensors, or as a .pth that holds tensors only.",
            "Code in a file can do anything to your computer: open it only where you would run a stranger's program.",
        ],
    )


def _first_line(error: BaseException) -> str:
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__


def _tensors_of(content: Any, file: Path) -> dict[str, Tensor]:
    """The state dict, taken out of up to two layers of wrapping; what is no tensor (a step count) is left out."""
    for _ in range(2):
        inner = _inner(content)
        if inner is None:
            break
        content = inner
    tensors = {}
    if isinstance(content, Mapping):
        tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise UserError(
            "weights_missing",
            f"{file} holds no named tensors.",
            [f"Expected: a state dict, plain or under one of the keys {', '.join(WRAPPERS)}."],
        )
    return {str(name): value for name, value in tensors.items()}


def _inner(content: Any) -> Any:
    if not isinstance(content, Mapping):
        return None
    for key in WRAPPERS:
        inner = content.get(key)
        if isinstance(inner, Mapping) and any(isinstance(value, Tensor | Mapping) for value in inner.values()):
            return inner
    return None
