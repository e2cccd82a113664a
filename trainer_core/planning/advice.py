"""Advice as the model's makers publish it for a training that is slow.

Pure functions of a configuration and of what was measured. A hint that is followed already is left out.
"""

from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from typing import Any

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.estimate import estimate
from trainer_core.planning.gpu_choice import chosen_gpus
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.ladder import memory_hints
from trainer_core.planning.phases import GIB
from trainer_core.planning.presets import without_bf16

# Major compute capability of H100 and H200, where PyTorch's attention is cuDNN's.
_HOPPER = 9
_IDLE_PERCENT = 60
_ROOMY_SHARE = 0.25
_NEARLY_FULL_SHARE = 0.03
_CRAWL_FACTOR = 3.0
# How many blocks keep their activations, most first: a half, a third, a quarter, a sixth.
_SKIPS = (2, 3, 4, 6)


def speed_hints(
    config: TrainConfig, machine: Machine, *, device: str, step_seconds: Sequence[float] = ()
) -> tuple[str, ...]:
    """What is off or unused that would make a running training faster.

    Args:
        machine: detected while it trains, so that free memory and utilisation are those beside the training.
        device: what it trains on, "cpu" or "cuda".
        step_seconds: of the steps so far in order, samples and saves left out; of a long run the first and the last.
    """
    if device == "cpu":
        return _cpu_hints(config, machine)
    used = chosen_gpus(config, machine)
    return (
        *_crawl_hints(config, machine, used, step_seconds),
        *_precision_hints(config, used),
        *_attention_hints(config, used),
        *_room_hints(config, used),
        *_idle_hints(config, used),
    )


def _cpu_hints(config: TrainConfig, machine: Machine) -> tuple[str, ...]:
    if not machine.gpus:
        return ("It trains on the CPU: there is no GPU here. The real model needs one.",)
    gpu = machine.gpus[0]
    why = (
        'device = "cpu" in the config; set device = "auto"'
        if config.device == "cpu"
        else "PyTorch does not see it; python -m trainer_core doctor says more"
    )
    return (f"It trains on the CPU although there is a GPU ({gpu.name}): {why}.",)


def _crawl_hints(
    config: TrainConfig, machine: Machine, used: Sequence[Gpu], step_seconds: Sequence[float]
) -> list[str]:
    """Windows moves GPU memory to system memory instead of failing: nearly full, and suddenly many times slower."""
    full = [gpu for gpu in used if gpu.total_mib and gpu.free_mib < _NEARLY_FULL_SHARE * gpu.total_mib]
    if not machine.shared_memory or not full or len(step_seconds) < 15:
        return []
    before, now = median(step_seconds[:-5]), median(step_seconds[-5:])
    if now < _CRAWL_FACTOR * before:
        return []
    return [
        f"Steps take {now:.1f} s instead of {before:.1f} s and GPU {full[0].index} is full: Windows has moved a part "
        "of its memory to system memory. Close other programs that use the GPU.",
        *memory_hints(config)[:1],
    ]


def _precision_hints(config: TrainConfig, used: Sequence[Gpu]) -> list[str]:
    old = without_bf16(used)
    if config.mixed_precision == "no":
        return ['mixed_precision = "no" computes everything in 32 bits; "bf16" is several times faster.']
    if config.mixed_precision == "fp16" and not old:
        return ['mixed_precision = "fp16": "bf16" is as fast on this GPU and cannot overflow.']
    if config.mixed_precision == "bf16" and old:
        return [
            f'{old[0].name} computes bf16 without tensor cores; mixed_precision = "fp16" is faster there but may '
            "overflow with this model."
        ]
    return []


def _attention_hints(config: TrainConfig, used: Sequence[Gpu]) -> list[str]:
    # Measured on an H200: docs/performance.md.
    if any(gpu.compute_capability and gpu.compute_capability[0] == _HOPPER for gpu in used):
        slower = config.attention_backend == "varlen"
        return ['attention_backend = "sdpa" is faster than "varlen" on this GPU.'] if slower else []
    if config.attention_backend != "sdpa" or config.use_flash_attention_2:
        return []
    return [
        "use_flash_attention_2 = true uses the flash-attn package where it is installed; without it PyTorch's own "
        "flash kernel is at work already."
    ]


def _room_hints(config: TrainConfig, used: Sequence[Gpu]) -> list[str]:
    """What free memory could buy: first the time that checkpointing costs, else a larger batch."""
    known = [gpu for gpu in used if gpu.total_mib]
    if not known:
        return []
    tightest = min(known, key=lambda gpu: gpu.free_mib)
    free = tightest.free_mib / 1024
    if config.swap_blocks:
        fits = free > 1 + _costs_gib(config, swap_blocks=0)
        words = f"{free:.0f} GiB are free: swap_blocks = 0 would fit, and nothing is copied to the GPU in each step."
        return [words] if fits else []
    if config.gradient_checkpointing and free > 1 + _costs_gib(config, gradient_checkpointing=False):
        return [
            f"{free:.0f} GiB are free: gradient_checkpointing = false would fit, and computes each block only once."
        ]
    now = config.checkpoint_skip_every
    for skip in _SKIPS if config.gradient_checkpointing else ():
        if (now == 0 or skip < now) and free > 1 + _costs_gib(config, checkpoint_skip_every=skip):
            return [
                f"{free:.0f} GiB are free: checkpoint_skip_every = {skip} would fit, and computes fewer blocks twice."
            ]
    if config.train_batch_size == 1 and free > _ROOMY_SHARE * tightest.total_mib / 1024:
        return [f"{free:.0f} GiB are free: train_batch_size = 2 would use the GPU better."]
    return []


def _costs_gib(config: TrainConfig, **changed: Any) -> float:
    """What the same run would need more with these values once it trains, by the estimate."""
    before, after = (estimate(each, None).training.bytes for each in (config, replace(config, **changed)))
    return (after - before) / GIB


def _idle_hints(config: TrainConfig, used: Sequence[Gpu]) -> list[str]:
    idle = [gpu for gpu in used if gpu.utilisation is not None and gpu.utilisation < _IDLE_PERCENT]
    if not idle:
        return []
    workers = max(4, 2 * config.dataloader_num_workers)
    remedies = [f"dataloader_num_workers = {min(workers, 64)}"]
    if not config.use_cache:
        remedies.insert(0, "use_cache = true")
    at_work = f"GPU {idle[0].index} is at work only {idle[0].utilisation} % of the time and waits for data"
    return [f"{at_work}: try {' and '.join(remedies)}, and keep cache_dir on a fast disk."]
