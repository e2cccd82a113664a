"""Which GPUs of a machine a training uses."""

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.presets import without_bf16


def uses_gpu(config: TrainConfig, machine: Machine) -> bool:
    """Whether this machine would train on a GPU; where one is demanded that is not there, it is forecast as if."""
    return config.device == "cuda" or (config.device == "auto" and bool(machine.gpus))


def chosen_gpus(config: TrainConfig, machine: Machine) -> tuple[Gpu, ...]:
    """The GPUs of the machine that a training uses: those of the config's `gpus`, where they can be joined.

    Where they cannot, one: of "all" the one with the most free memory, else the first of those named.
    """
    if config.gpus == "all":
        named = sorted(machine.gpus, key=lambda gpu: -gpu.free_mib) if not machine.joins_gpus else machine.gpus
    else:
        by_number = {str(gpu.index): gpu for gpu in machine.gpus}
        named = [by_number[number] for number in config.gpus.split(",") if number in by_number]
    return tuple(named if machine.joins_gpus else named[:1])


def processes_of(config: TrainConfig, machine: Machine) -> int:
    """How many processes share a step of a training here: one for each of its GPUs."""
    return max(1, len(chosen_gpus(config, machine))) if uses_gpu(config, machine) else 1


def uses_old_card(config: TrainConfig, machine: Machine) -> bool:
    """Whether one of those GPUs is older than bf16."""
    return bool(without_bf16(chosen_gpus(config, machine)))


def device_name(config: TrainConfig, machine: Machine, *, cuda: bool) -> str:
    """What a training of ``config`` computes on here: its first GPU's name, "" for one that is not there."""
    if not cuda:
        return f"CPU with {machine.cpu_count} cores"
    return next((gpu.name for gpu in chosen_gpus(config, machine)), "")
