"""Strict, lazy loading of safetensors weights.

Promises: a file is memory-mapped and read once; only the tensor being assigned is ever materialised; a module
that was loaded has no parameter left on the meta device and none that came from anywhere but the file.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Protocol, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from trainer_core.contracts.errors import UserError
from trainer_core.model.writing import DTYPE_NAMES
from trainer_core.planning import tensor_names
from trainer_core.planning.tensor_shapes import ShapeSource, mismatch
from trainer_core.planning.weight_files import SAFETENSORS, SUFFIX, weight_files

# safetensors' own words for dtypes; its slices tell them without reading the tensor.
DTYPES = MappingProxyType({word: dtype for dtype, word in DTYPE_NAMES.items()})

Rename = Callable[[str], str | None] | Mapping[str, str | None]


class TensorSource(ShapeSource, Protocol):
    """Named tensors that can be asked for their shape without being read."""

    def read(self, name: str) -> Tensor:
        """One tensor on the CPU in its stored dtype. Never write into it: it may be mapped memory."""


class OpenFiles(TensorSource, Protocol):
    """A `TensorSource` over open files: it also knows dtypes without reading, and has to be closed."""

    def dtype(self, name: str) -> torch.dtype:
        """Stored dtype of one tensor. Raises UserError("weights_quantised") for one that torch lacks."""

    def close(self) -> None:
        """Gives the files back; tensors that were read stay valid."""


class Closing(ABC):
    """Closed at the end of a `with`."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held open."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_CUT_SHORT = "The download was probably cut short: delete the file and fetch it again."


class SafetensorsFiles(Closing):
    """One or several memory-mapped safetensors files seen as `OpenFiles`; a context manager."""

    def __init__(self, files: Sequence[Path], location: Path) -> None:
        """Raises UserError: "weights_broken" (unreadable file), "weights_ambiguous" (a name stored twice)."""
        self._location = location
        self._handles: list[Any] = []
        self._owner: dict[str, Any] = {}
        for file in files:
            self._open(file)

    def _open(self, file: Path) -> None:
        try:
            handle = safe_open(file, framework="pt")
        except (SafetensorError, OSError) as error:
            raise UserError(
                "weights_broken",
                f"{file} is not a readable safetensors file ({error}).",
                [_CUT_SHORT if file.suffix in SAFETENSORS else f"Give a file that ends in {SUFFIX}, or its folder."],
            ) from error
        self._handles.append(handle)
        for name in handle.keys():  # a safe_open is no dict: it cannot be iterated itself
            if name in self._owner:
                raise UserError(
                    "weights_ambiguous",
                    f"{self._location} holds several weight files that both contain '{name}'.",
                    ["Keep one version of the weights in this folder."],
                )
            self._owner[name] = handle

    @property
    def location(self) -> str:
        return str(self._location)

    def names(self) -> Sequence[str]:
        return sorted(self._owner)

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._owner[name].get_slice(name).get_shape())

    def dtype(self, name: str) -> torch.dtype:
        word = self._owner[name].get_slice(name).get_dtype()
        if word not in DTYPES:
            raise UserError(
                "weights_quantised",
                f"{self._location}: '{name}' is stored as {word}, a compressed number format that is not read.",
                ["Use the bf16 (or fp16, fp32) version of these weights."],
            )
        return DTYPES[word]

    def read(self, name: str) -> Tensor:
        tensor: Tensor = self._owner[name].get_tensor(name)
        return tensor

    def metadata(self) -> dict[str, str]:
        """The free text that the files carry; the first file's where several say something."""
        merged: dict[str, str] = {}
        for handle in reversed(self._handles):
            merged |= handle.metadata() or {}
        return merged

    def close(self) -> None:
        """Unmaps the files; tensors that were read stay valid."""
        for handle in self._handles:
            handle.__exit__(None, None, None)
        self._handles.clear()
        self._owner.clear()


def open_tensors(path: Path) -> SafetensorsFiles:
    """Opens a safetensors file, or a folder with one file, an index.json or a set of shards.

    Raises UserError("weights_missing") when there is nothing to read or a shard is absent.
    """
    if path.is_file():
        return SafetensorsFiles([path], path)
    if not path.is_dir():
        raise UserError("weights_missing", f"{path} does not exist; a weight file or its folder is expected there.")
    return SafetensorsFiles(weight_files(path), path)


def refuse_quantised(files: OpenFiles, names: Mapping[str, str]) -> None:
    """Raises UserError("weights_quantised") where the names or the dtypes show it. `names`: shown -> stored."""
    tensor_names.refuse_quantised(files.location, names, lambda stored: str(files.dtype(stored)).removeprefix("torch."))


def load_strict(
    module: nn.Module,
    source: TensorSource,
    *,
    what: str,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    rename: Rename | None = None,
    rebuild_buffers: Callable[[nn.Module], None] | None = None,
    place: Callable[[nn.Module, str, Tensor], None] | None = None,
    where: Callable[[str], torch.device] | None = None,
) -> None:
    """Fills `module`, built under `torch.device("meta")`, tensor by tensor from `source`.

    rename:          stored name -> name in the module, None to leave the tensor out; a mapping keeps
                     the names it lacks.
    dtype:           of floating-point tensors (None: as stored); other tensors keep theirs.
    rebuild_buffers: recreates what no checkpoint holds (rotary tables and other non-persistent buffers).
    place:           puts one tensor, of its own memory, into the module (None: `assign`).
    where:           the device of a tensor by its name (None: `device` for all).
    Parameters end up frozen. Raises UserError("weights_mismatch") naming missing, unexpected and misshapen
    tensors, or UserError("weights_ambiguous") when two stored names are the same tensor.
    """
    targets = _targets(source, rename)
    expected = module.state_dict(keep_vars=True)
    _refuse_mismatch(source, targets, expected, what)
    everywhere = torch.device(device)
    where = where or (lambda name: everywhere)
    for target, stored in targets.items():
        (place or assign)(module, target, _materialise(source.read(stored), dtype, where(target)))
    if rebuild_buffers is not None:
        rebuild_buffers(module)
    _move_buffers(module, where)
    left = [name for name, tensor in _all_tensors(module) if tensor.is_meta]
    assert not left, f"{what}: never materialised: {left}"


def require_match(module: nn.Module, source: TensorSource, *, what: str) -> None:
    """What `load_strict` would refuse, without reading a tensor. Raises UserError as it does."""
    _refuse_mismatch(source, _targets(source, None), module.state_dict(keep_vars=True), what)


def _targets(source: TensorSource, rename: Rename | None) -> dict[str, str]:
    """Name in the module -> stored name."""
    targets: dict[str, str] = {}
    for stored in source.names():
        target = _renamed(stored, rename)
        if target is None:
            continue
        if target in targets:
            raise UserError(
                "weights_ambiguous",
                f"{source.location}: '{stored}' and '{targets[target]}' are two names for the same tensor.",
                ["Keep one version of the weights in this folder."],
            )
        targets[target] = stored
    return targets


def _renamed(stored: str, rename: Rename | None) -> str | None:
    if rename is None:
        return stored
    return rename.get(stored, stored) if isinstance(rename, Mapping) else rename(stored)


def _refuse_mismatch(
    source: TensorSource,
    targets: Mapping[str, str],
    expected: Mapping[str, Tensor],
    what: str,
) -> None:
    missing = [name for name in expected if name not in targets]
    unexpected = [stored for target, stored in targets.items() if target not in expected]
    misshapen = [
        f"{stored} {list(source.shape(stored))} instead of {list(expected[target].shape)}"
        for target, stored in targets.items()
        if target in expected and source.shape(stored) != tuple(expected[target].shape)
    ]
    if missing or unexpected or misshapen:
        raise mismatch(what, source.location, missing=missing, unexpected=unexpected, misshapen=misshapen)


def _materialise(tensor: Tensor, dtype: torch.dtype | None, device: torch.device) -> Tensor:
    """A copy of its own: a mapped view would follow later changes of the file, and lock it on Windows."""
    wanted = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    return tensor.to(device=device, dtype=wanted, copy=True).contiguous()


def assign(module: nn.Module, name: str, tensor: Tensor) -> None:
    """Puts a tensor in the place of the parameter or buffer of that dotted name; a parameter is frozen then."""
    parent_name, _, leaf = name.rpartition(".")
    parent = module.get_submodule(parent_name)
    if leaf in parent._parameters:
        parent._parameters[leaf] = nn.Parameter(tensor, requires_grad=False)
    else:
        parent._buffers[leaf] = tensor


def _move_buffers(module: nn.Module, where: Callable[[str], torch.device]) -> None:
    """Only what is real: a buffer still on meta is the caller's mistake and is reported as such."""
    for name, part in module.named_modules():
        for leaf, buffer in part._buffers.items():
            if buffer is not None and not buffer.is_meta:
                part._buffers[leaf] = buffer.to(where(f"{name}.{leaf}"))


def _all_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]
