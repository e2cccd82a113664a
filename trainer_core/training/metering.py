"""Seconds of what runs on a device."""

import time
from collections.abc import Callable

import torch


def seconds_of(action: Callable[[], object], device: torch.device) -> float:
    """How long it takes until the device has done it."""
    synchronize(device)
    start = time.perf_counter()
    action()
    synchronize(device)
    return time.perf_counter() - start


def synchronize(device: torch.device) -> None:
    """Wait for what the device was given to do."""
    if device.type == "cuda":
        torch.cuda.synchronize()
