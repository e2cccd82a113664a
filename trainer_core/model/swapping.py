"""Main blocks whose frozen weights lie in host memory, and on the device only while they are needed.

A ring of three device buffers holds the block in use and the two that come next: 0 to n-1 in a forward pass, then in
training n-1 to 0, as gradient checkpointing runs them again. What lies in the ring where the order turns is not copied
again. The weights never change, so nothing is ever copied back.

A buffer is given to another block when the block after its own begins. In the backward pass autograd takes the nodes
that were made last first, so by then those of its own are done, and with them the use of what its second run saved.
Without checkpointing the first run would save views of buffers that other blocks overwrite; hence it is required.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from trainer_core.model.host_memory import HostMemory
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.quantised import Quantising
from trainer_core.model.weights import assign
from trainer_core.planning.quantised import is_quantised
from trainer_core.planning.swapped import RING, aligned

HOST = torch.device("cpu")


@dataclass(kw_only=True)
class Copied:
    """What was copied to the device so far, and the largest number of blocks that lay there at once."""

    bytes: int = 0
    copies: int = 0
    most_resident: int = 0


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a frozen tensor belongs in the model, and where it begins in its block's buffer."""

    module: nn.Module
    leaf: str
    dtype: torch.dtype
    shape: torch.Size
    start: int

    def view(self, buffer: Tensor) -> Tensor:
        """The tensor in a buffer [bytes] of uint8."""
        size = self.shape.numel() * self.dtype.itemsize
        return buffer[self.start : self.start + size].view(self.dtype).view(self.shape)

    def put(self, tensor: Tensor) -> None:
        """A parameter stays the same object: PEFT and accelerate hold it."""
        parameter = self.module._parameters.get(self.leaf)
        if parameter is None:
            self.module._buffers[self.leaf] = tensor
        else:
            parameter.data = tensor


class _Block:
    """A block's frozen tensors in one host buffer. In the model they are views of a device buffer, or placeholders."""

    def __init__(self, block: nn.Module, device: torch.device) -> None:
        self._places, size = _places(block)
        assert self._places, "nothing in this block is frozen"
        self.host = HostMemory(size, pin=device.type == "cuda")
        for place in self._places:
            held = place.module._parameters.get(place.leaf)
            tensor = place.module._buffers[place.leaf] if held is None else held.data
            assert tensor is not None and not tensor.is_meta, place.leaf
            place.view(self.host.bytes).copy_(tensor)
        self._absent = {place.dtype: _absent(place.dtype, device) for place in self._places}
        self.leave()

    @property
    def size(self) -> int:
        return self.host.bytes.nbytes

    def enter(self, buffer: Tensor) -> None:
        """The module's tensors are those in `buffer` [bytes] from here on."""
        for place in self._places:
            place.put(place.view(buffer))

    def leave(self) -> None:
        """Stand-ins of the same shape, type and device, without memory; whoever computes with one gets NaN."""
        for place in self._places:
            place.put(self._absent[place.dtype].expand(place.shape))


def _absent(dtype: torch.dtype, device: torch.device) -> Tensor:
    return torch.full((), torch.nan if dtype.is_floating_point else 0, dtype=dtype, device=device)


def _places(block: nn.Module) -> tuple[list[_Place], int]:
    """All frozen tensors of a block, one after the other, and the bytes of the buffer that takes them."""
    places, end = [], 0
    for module in block.modules():
        for leaf, tensor in [*module._parameters.items(), *module._buffers.items()]:
            if tensor is not None and not tensor.requires_grad:
                places.append(_Place(module=module, leaf=leaf, dtype=tensor.dtype, shape=tensor.shape, start=end))
                end += aligned(tensor.nbytes)
    return places, end


class _Buffer:
    """One of the ring's device buffers, and the number of the swapped block that lies in it."""

    def __init__(self, size: int, device: torch.device) -> None:
        self.bytes = torch.empty(size, dtype=torch.uint8, device=device)
        self.block: int | None = None
        self.ready = torch.cuda.Event() if device.type == "cuda" else None


class Swapping:
    """Moves main blocks of a filled and frozen model to host memory, and each to the device before it runs.

    places: of the blocks, in their order.

    On a GPU copies run beside the computation, on a stream of their own. Works with LoRA added before or after, which
    stays on the device, and in passes without gradients. A pass that an exception ends leaves nothing to clear up.
    """

    def __init__(self, model: NextDiT, places: Sequence[int], device: torch.device) -> None:
        self.copied = Copied()
        self._model = model
        self._device = device
        # One after the other: no more than one block is held twice.
        self._blocks = [_Block(model.layers[place], device) for place in places]
        size = max(block.size for block in self._blocks)
        self._ring = [_Buffer(size, device) for _ in range(min(RING, len(places)))]
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._turned = False
        if self._stream is not None:
            # Given back, a buffer's memory is not used anew before a copy on its way is done.
            for buffer in self._ring:
                buffer.bytes.record_stream(self._stream)
        model.register_forward_pre_hook(self._begin)
        model.register_forward_hook(self._turn)
        for number, place in enumerate(places):
            model.layers[place].register_forward_pre_hook(partial(self._enter, number))

    @property
    def problem(self) -> str:
        """What makes the copies slower than they should be; empty where nothing does."""
        refused = sum(not block.host.pinned for block in self._blocks)
        if not refused or self._stream is None:
            return ""
        return (
            f"swap_blocks: the driver did not pin the main memory of {refused} of {len(self._blocks)} blocks; copies "
            "from there are slow, and the computation waits for them."
        )

    def _begin(self, *_: object) -> None:
        model = self._model
        kept = not (model.training and model.gradient_checkpointing) or model.checkpoint_skip_every
        assert not (torch.is_grad_enabled() and kept), "blocks are swapped, but not all are checkpointed"
        self._turned = False

    def _turn(self, *_: object) -> None:
        """The forward pass has ended: a block that runs from here on runs again, for its backward."""
        self._turned = True

    def _enter(self, number: int, *_: object) -> None:
        """Block `number` of the swapped ones is about to run."""
        wanted = (number, *self._next(number))
        for each in wanted:
            self._bring(each, wanted)
        ready = next(buffer.ready for buffer in self._ring if buffer.block == number)
        if ready is not None:
            torch.cuda.current_stream(self._device).wait_event(ready)

    def _next(self, number: int) -> tuple[int, ...]:
        """The other blocks of the ring, those that this pass needs first."""
        before, after = range(number - 1, -1, -1), range(number + 1, len(self._blocks))
        if not torch.is_grad_enabled():
            order = (*after, *range(number))
        else:
            order = (*before, *after) if self._turned else (*after, *before)
        return order[: len(self._ring) - 1]

    def _bring(self, number: int, wanted: Sequence[int]) -> None:
        """Copy a block into a buffer that holds none of the wanted ones, unless it is there already."""
        if any(buffer.block == number for buffer in self._ring):
            return
        buffer = next(buffer for buffer in self._ring if buffer.block not in wanted)
        if buffer.block is not None:
            self._blocks[buffer.block].leave()
            buffer.block = None
        block = self._blocks[number]
        self._copy(block, buffer)
        block.enter(buffer.bytes)
        buffer.block = number
        self.copied.bytes += block.size
        self.copied.copies += 1
        resident = sum(buffer.block is not None for buffer in self._ring)
        self.copied.most_resident = max(self.copied.most_resident, resident)

    def _copy(self, block: _Block, buffer: _Buffer) -> None:
        if self._stream is None or buffer.ready is None:
            buffer.bytes[: block.size].copy_(block.host.bytes)
            return
        # What is queued by now may still read what lies in the buffer.
        self._stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(self._stream):
            buffer.bytes[: block.size].copy_(block.host.bytes, non_blocking=True)
            buffer.ready.record(self._stream)


class BlockPlacement:
    """`load_strict`'s way to fill a model, quantised or not, whose main blocks at `places` stay in host memory."""

    def __init__(self, places: Sequence[int], device: torch.device, quantise: str) -> None:
        self._swapped = tuple(f"layers.{place}." for place in places)
        self._device = device
        self._packs = quantise != "no"
        self._place = Quantising(quantise) if self._packs else assign

    def where(self, name: str) -> torch.device:
        """Where a tensor of that name is read to. What is packed passes through the device, for the same bits."""
        packed = self._packs and name.endswith(".weight") and is_quantised(name)
        return self._device if packed or not name.startswith(self._swapped) else HOST

    def __call__(self, module: nn.Module, name: str, tensor: Tensor) -> None:
        self._place(module, name, tensor)
        if name.startswith(self._swapped):
            owner = module.get_submodule(name.rpartition(".")[0])
            for parameter in owner._parameters.values():
                if parameter is not None and not parameter.is_meta:
                    parameter.data = parameter.data.to(HOST)
            for leaf, buffer in owner._buffers.items():
                if buffer is not None:
                    owner._buffers[leaf] = buffer.to(HOST)
