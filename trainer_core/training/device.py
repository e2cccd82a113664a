"""The device that a run computes on. A GPU that is there and cannot be used is an error, no reason for the CPU."""

import os
from pathlib import Path
from typing import Literal

import torch

from trainer_core.contracts.errors import UserError
from trainer_core.jobs.ranks import rank_of, told_to_use_cpu
from trainer_core.planning.hardware import Gpu, detect
from trainer_core.planning.torch_builds import OLDER_BUILD, build_with_kernels, has_kernels, needed_driver

CHOOSE_CPU = 'Or choose the CPU (device = "cpu"): it suits the built-in base, a real one would take months.'


def pick_device(name: str) -> torch.device:
    """The device for `device` = name; of several GPUs each process of a machine gets its own, as "cuda" from then on.

    Raises `device_unavailable` as `device_type` does, and for a GPU that this build of PyTorch has no kernels for.
    """
    device = torch.device(device_type(name))
    if device.type == "cuda":
        # As accelerate will choose it, which comes later: whatever asks the GPU before must not open the first one.
        torch.cuda.set_device(rank_of(os.environ, "LOCAL_RANK") % torch.cuda.device_count())
        _check_kernels()
    return device


def device_type(name: str) -> Literal["cuda", "cpu"]:
    """auto = a GPU if there is one and accelerate was not told --cpu, else the CPU. Nothing is opened on a card.

    Raises `device_unavailable`: "cuda" without a GPU, or as `cuda_usable` does.
    """
    if name == "cpu" or (name == "auto" and told_to_use_cpu(os.environ)):
        return "cpu"
    if cuda_usable():
        return "cuda"
    if name == "cuda":
        raise UserError(
            "device_unavailable",
            'device = "cuda", but PyTorch sees no NVIDIA GPU here.',
            ["Check the driver with nvidia-smi.", 'Set device = "auto" or "cpu".'],
        )
    return "cpu"


def cuda_usable() -> bool:
    """Whether PyTorch can use a GPU; cards that CUDA_VISIBLE_DEVICES hides do not count.

    Raises `device_unavailable` where there is a card that it cannot use: the real model would train for months on the
    CPU.
    """
    if torch.cuda.is_available():
        return True
    cards = detect(Path()).gpus
    if cards:
        raise _unusable(cards[0])
    return False


def _unusable(card: Gpu) -> UserError:
    cuda = torch.version.cuda
    needed = needed_driver(cuda or "", card.driver)
    if cuda is None:
        reason = "this is its build for the CPU"
        hints = ["Close the program, delete its .venv and start launch.sh or launch.bat: it installs the right build."]
    elif needed:
        reason = f"its build for CUDA {cuda} needs driver {needed} or newer"
        hints = ["Update the NVIDIA driver, then restart the machine."]
        if not needed_driver("12.6", card.driver) and not cuda.startswith("12."):
            hints.append(f"Or start launch.sh or launch.bat with {OLDER_BUILD}: that build works with older drivers.")
    else:
        reason = _cuda_error()
        hints = ["Restart the machine, then check the driver with nvidia-smi."]
    return UserError(
        "device_unavailable",
        f"PyTorch {torch.__version__} cannot use the GPU {card.name} (driver {card.driver or '?'}): {reason}.",
        [*hints, CHOOSE_CPU],
    )


def _check_kernels() -> None:
    """Otherwise the first kernel would fail, with an error that names no way out."""
    capability = torch.cuda.get_device_capability()
    cuda = torch.version.cuda
    if cuda is None or has_kernels(torch.cuda.get_arch_list(), capability):
        return
    hints = []
    if build := build_with_kernels(capability, cuda):
        hints.append(f"Start launch.sh or launch.bat with {build}: that build has them.")
    if torch.cuda.device_count() > 1:
        hints.append("Or leave this GPU out: set gpus to the numbers of the others.")
    raise UserError(
        "device_unavailable",
        f"PyTorch {torch.__version__} (CUDA {cuda}) has no kernels for the GPU {torch.cuda.get_device_name()}, whose "
        f"compute capability is {capability[0]}.{capability[1]}.",
        [*hints, CHOOSE_CPU],
    )


def _cuda_error() -> str:
    """What CUDA itself says of it, without a full stop."""
    try:
        torch.cuda.init()
    except (AssertionError, RuntimeError) as error:
        return str(error).partition("\n")[0].rstrip(". ")
    return "CUDA does not say why"
