"""PyTorch's builds for NVIDIA cards: what each needs and runs on, and how the launcher is told to install another."""

import re
from collections.abc import Sequence

# `newbie_gui/environment.py`, which may import nothing of ours, reads this variable.
OLDER_BUILD = "NEWBIE_TORCH_INDEX=https://download.pytorch.org/whl/cu126"
CURRENT_BUILD = "NEWBIE_TORCH_INDEX=https://download.pytorch.org/whl/cu130"
# The builds for CUDA 13 begin with Turing, those for CUDA 12.6 with Maxwell and end with Hopper.
OLDEST_CAPABILITY = (7, 5)
_OLDER_CAPABILITIES = ((5, 0), (9, 0))
# The oldest driver for each CUDA generation, on Windows too, by NVIDIA's compatibility table.
_OLDEST_DRIVERS = {"12": 528, "13": 580}
_ARCHITECTURE = re.compile(r"(sm|compute)_(\d+)(\d)([af]?)")


def needed_driver(cuda: str, driver: str) -> int:
    """What driver (580 of 580.95) a build for CUDA `cuda` ("13.0") needs where `driver` ("555.85") is older, else 0."""
    needed = _OLDEST_DRIVERS.get(cuda.partition(".")[0], 0)
    found = driver.partition(".")[0]
    return needed if found.isdecimal() and int(found) < needed else 0


def has_kernels(architectures: Sequence[str], capability: tuple[int, int]) -> bool:
    """Whether a build runs on a card of that compute capability; True where it does not name what it is made for.

    architectures: as torch.cuda.get_arch_list() names them. sm_86 runs on 8.6 and 8.9; compute_90, which the driver
    compiles, on 9.0 and all that came later; sm_90a on 9.0 alone; compute_100f on 10.0 and 10.3.
    """
    known = [found for name in architectures if (found := _ARCHITECTURE.fullmatch(name))]
    return not known or any(_runs_on(found, capability) for found in known)


def _runs_on(architecture: re.Match[str], capability: tuple[int, int]) -> bool:
    kind, *version, variant = architecture.groups()
    built = (int(version[0]), int(version[1]))
    if variant == "a":
        return capability == built
    if kind == "compute" and not variant:
        return capability >= built
    return capability[0] == built[0] and capability >= built


def build_with_kernels(capability: tuple[int, int], cuda: str) -> str:
    """How to ask the launcher for a build that runs on such a card; "" where none does better than that for `cuda`."""
    generation = cuda.partition(".")[0]
    oldest, newest = _OLDER_CAPABILITIES
    if generation == "13" and oldest <= capability < OLDEST_CAPABILITY:
        return OLDER_BUILD
    return CURRENT_BUILD if generation == "12" and capability > newest else ""
