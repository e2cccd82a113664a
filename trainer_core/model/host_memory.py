"""Main memory that a GPU copies from directly: pinned, and of exactly the bytes that are needed.

torch's own `pin_memory` rounds up to a power of two, which for the blocks of the released model is half as much again.
Here ordinary memory is registered with the driver instead, and unregistered when it goes.
"""

import mmap
import weakref
from contextlib import suppress

import torch
from torch import Tensor


class HostMemory:
    """`size` bytes as one tensor of uint8.

    Attributes:
        bytes: [size].
        pinned: False where that was not asked for, or refused by the driver.
    """

    def __init__(self, size: int, *, pin: bool) -> None:
        # Whole pages of its own: pages are what is pinned, and none may be pinned twice.
        page = mmap.PAGESIZE
        whole = torch.empty(-(-size // page) * page + page, dtype=torch.uint8)
        start = -whole.data_ptr() % page
        self.bytes = whole[start : start + size]
        self.pinned = pin and _register(self.bytes)
        if self.pinned:
            # Not a method: it would keep this object alive. The tensor lives until then.
            weakref.finalize(self, _unregister, self.bytes)


def _register(memory: Tensor) -> bool:
    code = int(torch.cuda.cudart().cudaHostRegister(memory.data_ptr(), memory.nbytes, 0))
    if code:
        # CUDA keeps the refusal as its last error, for the next kernel to be blamed for.
        with suppress(RuntimeError):
            torch.ones(1, device="cuda")
    return code == 0


def _unregister(memory: Tensor) -> None:
    # Copies may be on their way; after a failed kernel there are none, and nothing can be waited for.
    with suppress(RuntimeError):
        torch.cuda.synchronize()
    torch.cuda.cudart().cudaHostUnregister(memory.data_ptr())
