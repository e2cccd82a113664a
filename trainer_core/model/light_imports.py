"""Importing large libraries without what costs more than all the rest of them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_bitsandbytes(library: str) -> Iterator[None]:
    """Import ``library`` ("peft", "diffusers") in here: without a CUDA card it takes bitsandbytes for not installed.

    Both import it wherever it is, which loads torch's compiler: 2.2 of the 10.5 s that a trainer needs to start on two
    CPU cores. Our own uses of it need a card (`training.optim.check_optimizer`) and import it themselves. A library
    that is loaded already has made up its mind; then nothing is hidden.
    """
    name = "bitsandbytes"
    if name in sys.modules or library in sys.modules or torch.cuda.is_available():
        yield
        return
    # As importlib documents it: a module that is None cannot be imported, and `find_spec` finds none.
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
