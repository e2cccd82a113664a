"""What a figure was measured on."""

import platform
from typing import Any

import torch


def machine(device: torch.device | None = None) -> dict[str, Any]:
    """Kind and name of the device (the CPU unless given), threads, versions."""
    kind = device.type if device else "cpu"
    name = torch.cuda.get_device_name() if kind == "cuda" else platform.processor() or platform.machine()
    return {"device": kind, "name": name, "threads": torch.get_num_threads(), "torch": torch.__version__}
