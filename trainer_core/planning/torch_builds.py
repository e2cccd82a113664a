"""PyTorch's builds for NVIDIA cards: the driver that each needs, and how the launcher is told to install another."""

# `newbie_gui/environment.py`, which may import nothing of ours, reads this variable.
OLDER_BUILD = "NEWBIE_TORCH_INDEX=https://download.pytorch.org/whl/cu126"
# The oldest driver for each CUDA generation, on Windows too, by NVIDIA's compatibility table.
_OLDEST_DRIVERS = {"12": 528, "13": 580}


def needed_driver(cuda: str, driver: str) -> int:
    """What driver (580 of 580.95) a build for CUDA `cuda` ("13.0") needs where `driver` ("555.85") is older, else 0."""
    needed = _OLDEST_DRIVERS.get(cuda.partition(".")[0], 0)
    found = driver.partition(".")[0]
    return needed if found.isdecimal() and int(found) < needed else 0
