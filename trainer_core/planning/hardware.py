"""What this machine has: GPUs through NVIDIA's management library (nvidia-ml-py), memory, CPUs, disk.

Nothing here needs a GPU, a driver or the library; what could not be asked is said in `Machine.notes`.
"""

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

from trainer_core.contracts.disk import DiskSpace, disk_space
from trainer_core.planning.main_memory import main_memory

MIB = 2**20


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA card, or a MIG slice of one.

    Attributes:
        index: the number that nvidia-smi shows and the option `gpus` takes. torch's own numbers differ where
            CUDA_VISIBLE_DEVICES or CUDA_DEVICE_ORDER is set.
        total_mib, free_mib: memory now; 0 where the driver does not tell (cards that share the system's memory).
        compute_capability: (8, 6) for an RTX 3090; ``None`` where the driver does not tell.
        utilisation: percent of the last moment in which the card was at work; ``None`` where it does not tell.
        temperature: degrees Celsius; ``None`` where it does not tell.
    """

    index: int
    name: str
    total_mib: int
    free_mib: int
    driver: str = ""
    compute_capability: tuple[int, int] | None = None
    utilisation: int | None = None
    temperature: int | None = None
    uuid: str = ""

    @property
    def used_mib(self) -> int:
        return self.total_mib - self.free_mib


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The hardware that a training would find. Memory (within a container's limit) and disk in MiB.

    Attributes:
        gpus: those that CUDA programs may use here, in the order in which CUDA_VISIBLE_DEVICES lists them.
        hidden: those that CUDA_VISIBLE_DEVICES hides.
        joins_gpus: PyTorch can train on several at once; on Windows it has no NCCL.
        shared_memory: the driver moves GPU memory to system memory instead of failing (Windows, also below WSL).
        notes: what could not be asked and why, one sentence each.
    """

    gpus: tuple[Gpu, ...] = ()
    hidden: tuple[Gpu, ...] = ()
    memory_total_mib: int = 0
    memory_free_mib: int = 0
    cpu_count: int = 1
    disk_total_mib: int = 0
    disk_free_mib: int = 0
    joins_gpus: bool = True
    shared_memory: bool = False
    notes: tuple[str, ...] = ()


def detect(disk_path: Path, *, nvml: Any = None, environment: Mapping[str, str] | None = None) -> Machine:
    """What this machine has now; never raises for what is absent or broken.

    Args:
        disk_path: a path on the disk asked about; it need not exist yet.
        nvml: a module with pynvml's functions; by default pynvml itself, where it is installed.
        environment: by default this process's.
    """
    variables = os.environ if environment is None else environment
    cards, notes = _cards(nvml)
    visible, order_notes = _visible(cards, variables)
    memory = main_memory()
    disk = disk_space(disk_path) or DiskSpace(total=0, free=0)
    return Machine(
        gpus=tuple(visible),
        hidden=tuple(gpu for gpu in cards if gpu not in visible),
        memory_total_mib=memory.total // MIB,
        memory_free_mib=memory.free // MIB,
        cpu_count=psutil.cpu_count() or 1,
        disk_total_mib=disk.total // MIB,
        disk_free_mib=disk.free // MIB,
        joins_gpus=platform.system() != "Windows",
        shared_memory=platform.system() == "Windows" or "microsoft" in platform.release().lower(),
        notes=(*notes, *order_notes),
    )


def _cards(nvml: Any) -> tuple[list[Gpu], list[str]]:
    """Every card in nvidia-smi's order, and what went wrong."""
    if nvml is None:
        try:
            import pynvml

            nvml = pynvml
        except ImportError:
            return [], ["The package nvidia-ml-py is not installed, so NVIDIA GPUs cannot be listed."]
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        return [], [f"No NVIDIA driver answers here ({error})."]
    try:
        return _asked_cards(nvml)
    finally:
        _answer(nvml, nvml.nvmlShutdown)


def _asked_cards(nvml: Any) -> tuple[list[Gpu], list[str]]:
    driver = _text(_answer(nvml, nvml.nvmlSystemGetDriverVersion))
    count = _answer(nvml, nvml.nvmlDeviceGetCount)
    if count is None:
        return [], ["The NVIDIA driver is here but does not say which GPUs there are; restart the machine."]
    cards, notes = [], []
    for index in range(count):
        handle = _answer(nvml, nvml.nvmlDeviceGetHandleByIndex, index)
        if handle is None:
            notes.append(f"GPU {index} does not answer the driver; nvidia-smi may tell why.")
            continue
        found = _card(nvml, index, handle, driver)
        cards += found
        if not found[0].total_mib:
            notes.append(f"GPU {index} ({found[0].name}): the driver does not tell its memory.")
    return cards, notes


def _card(nvml: Any, index: int, handle: Any, driver: str) -> list[Gpu]:
    """The card, or in MIG mode each of its slices."""
    memory = _answer(nvml, nvml.nvmlDeviceGetMemoryInfo, handle)
    capability = _answer(nvml, nvml.nvmlDeviceGetCudaComputeCapability, handle)
    rates = _answer(nvml, nvml.nvmlDeviceGetUtilizationRates, handle)
    # 0 is NVML_TEMPERATURE_GPU, the only sensor it knows.
    degrees = _answer(nvml, getattr(nvml, "nvmlDeviceGetTemperature", None), handle, 0)
    gpu = Gpu(
        index=index,
        name=_text(_answer(nvml, nvml.nvmlDeviceGetName, handle)) or "unknown NVIDIA GPU",
        total_mib=0 if memory is None else memory.total // MIB,
        free_mib=0 if memory is None else memory.free // MIB,
        driver=driver,
        compute_capability=None if capability is None else (int(capability[0]), int(capability[1])),
        utilisation=None if rates is None else int(rates.gpu),
        temperature=None if degrees is None else int(degrees),
        uuid=_text(_answer(nvml, nvml.nvmlDeviceGetUUID, handle)),
    )
    mode = _answer(nvml, getattr(nvml, "nvmlDeviceGetMigMode", None), handle)
    return _slices(nvml, gpu, handle) if mode and mode[0] == 1 else [gpu]


def _slices(nvml: Any, gpu: Gpu, handle: Any) -> list[Gpu]:
    """What CUDA can use of a card in MIG mode, never the whole; one entry without memory where it has no slice."""
    found = []
    for number in range(_answer(nvml, nvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
        piece = _answer(nvml, nvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
        memory = None if piece is None else _answer(nvml, nvml.nvmlDeviceGetMemoryInfo, piece)
        if memory is not None:
            uuid = _text(_answer(nvml, nvml.nvmlDeviceGetUUID, piece))
            total, free = memory.total // MIB, memory.free // MIB
            found.append(replace(gpu, name=f"{gpu.name} (MIG slice)", total_mib=total, free_mib=free, uuid=uuid))
    return found or [replace(gpu, name=f"{gpu.name} (MIG mode, no slice)", total_mib=0, free_mib=0)]


def _answer(nvml: Any, function: Any, *arguments: Any) -> Any:
    """What the driver answers; ``None`` for "Not Supported", a lost card, or a function this version lacks."""
    if function is None:
        return None
    try:
        return function(*arguments)
    except (nvml.NVMLError, UnicodeDecodeError):
        return None


def _text(value: Any) -> str:
    """Older bindings answer in bytes."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return "" if value is None else str(value)


def _visible(cards: Sequence[Gpu], variables: Mapping[str, str]) -> tuple[list[Gpu], list[str]]:
    """The cards that CUDA_VISIBLE_DEVICES leaves, in its order. CUDA itself stops at the first entry it cannot use."""
    listed = variables.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        # Of a card in MIG mode CUDA takes the first slice.
        return [gpu for i, gpu in enumerate(cards) if i == 0 or cards[i - 1].index != gpu.index], []
    found: list[Gpu] = []
    for entry in listed.split(","):
        gpu = _named(cards, entry.strip())
        if gpu is None or gpu in found:
            break
        found.append(gpu)
    notes = []
    if not found and cards:
        notes.append(f'CUDA_VISIBLE_DEVICES = "{listed}" hides every GPU.')
    by_number = "GPU-" not in listed and "MIG-" not in listed and bool(found)
    if by_number and variables.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID" and len({gpu.name for gpu in cards}) > 1:
        notes.append(
            "CUDA_VISIBLE_DEVICES counts unequal GPUs fastest first, not as nvidia-smi does, so other GPUs than "
            "those named here may be meant; set CUDA_DEVICE_ORDER=PCI_BUS_ID to make both the same."
        )
    return found, notes


def _named(cards: Sequence[Gpu], entry: str) -> Gpu | None:
    """The card meant by one entry: a number, or a UUID, or as much of its beginning as is unique."""
    if entry.isdecimal():
        return next((gpu for gpu in cards if gpu.index == int(entry)), None)
    if not entry.startswith(("GPU-", "MIG-")):
        return None
    matching = [gpu for gpu in cards if gpu.uuid.lower().startswith(entry.lower())]
    return matching[0] if len(matching) == 1 else None
