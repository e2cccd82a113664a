"""Importing large libraries without what costs more than all the rest of them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def without_bitsandbytes() -> Iterator[None]:
    """Import PEFT or diffusers in here: on a machine without a CUDA card they believe bitsandbytes is not installed.

    They import it wherever it is, which loads torch's compiler: 2.2 of the 10.5 s that a trainer needs to start on two
    CPU cores. Our own uses of it need a card (`training.optim.check_optimizer`) and import it themselves.
    """
    name = "bitsandbytes"
    if name in sys.modules or torch.cuda.is_available():
        yield
        return
    # As importlib documents it: a module that is None cannot be imported, and `find_spec` finds none.
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]
