"""Main blocks compiled by PyTorch's Inductor, one code for all of them: fewer passes over memory around the products.

A block is compiled in two halves, before and after its attention, which stays the kernel that was asked for: captions
of any lengths then run the same code. Dropout draws the numbers it draws otherwise, so that only rounding differs.
"""

import os
import shutil
import sys
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any, cast

import torch
from torch import Tensor, nn

from trainer_core.model.nextdit import Block, NextDiT

Half = Callable[..., Any]


def compile_problem(device: torch.device) -> str | None:
    """Why blocks cannot be compiled here, as the end of a sentence; None if nothing is known to be against it."""
    if sys.platform == "win32":
        return "has not been tried on Windows"
    if device.type == "cuda" and find_spec("triton") is None:
        return "needs the package triton"
    named = os.environ.get("CC" if device.type == "cuda" else "CXX")
    names = [named] if named else ["gcc", "clang", "cc"] if device.type == "cuda" else ["g++", "clang++", "c++"]
    if not any(map(shutil.which, names)):
        return f"needs a compiler ({', '.join(names)})"
    return None


def compile_blocks(model: NextDiT, warn: Callable[[str], None], backend: str | Half = "inductor") -> None:
    """Have the main blocks compiled when they first run; the few that refine captions and images stay as they are.

    Args:
        warn: told in a sentence, once, when the compiler fails; the blocks then go on as they were.
        backend: "inductor", or another that `torch.compile` takes.
    """
    if backend == "inductor":
        backend = _inductor
    halves = {name: _Half(getattr(Block, name), backend) for name in ("before", "after")}
    failed = partial(_give_up, model, warn)
    for block in model.layers:
        for name, half in halves.items():
            setattr(block, name, partial(half, failed, block))


class _Half:
    """One half of all blocks: a function of (block, tensors)."""

    def __init__(self, plain: Half, backend: str | Half) -> None:
        self._plain = plain
        # Every batch may have another number of tokens; without `dynamic` each would be compiled for itself.
        self._compiled = torch.compile(plain, dynamic=True, backend=backend)

    def __call__(self, failed: Callable[[Exception], None], block: nn.Module, *arguments: Tensor | None) -> Any:
        try:
            return self._compiled(block, *arguments)
        except (torch._dynamo.exc.TorchDynamoException, torch._inductor.exc.InductorError) as error:
            failed(error)
            return self._plain(block, *arguments)


def _give_up(model: NextDiT, warn: Callable[[str], None], error: Exception) -> None:
    for block in model.layers:
        for name in ("before", "after"):
            block.__dict__.pop(name, None)
    # What the compiler itself said; around it stands only that it said something.
    cause = getattr(error, "inner_exception", error)
    first = next((line.strip() for line in str(cause).splitlines() if line.strip()), repr(cause))
    warn(f"compile_blocks: the compiler failed, so blocks run as they are ({first}).")


def _inductor(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Half:
    from torch._functorch import config
    from torch._inductor.compile_fx import compile_fx

    # The backward pass is compiled here too: later, in the middle of a step, a failure could not be mended.
    with config.patch(force_non_lazy_backward_lowering=True):
        return cast(Half, compile_fx(graph, inputs, config_patches={"fallback_random": True}))
