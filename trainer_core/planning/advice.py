"""Advice as the model's makers publish it: by size of data set, out of memory, too slow, loss flat.

Pure functions of a configuration and of what was measured. A rung or hint that is followed already is left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from types import MappingProxyType
from typing import Any

from trainer_core.contracts.config import TrainConfig, options
from trainer_core.planning.base import read_base
from trainer_core.planning.estimate import estimate
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.presets import without_bf16
from trainer_core.planning.swapped import RING

# The modules of the published strategy 1; a test holds them equal to presets/16gb.toml.
LIGHT_TARGETS = ("attention.qkv", "attention.out", "time_text_embed.1")
PUBLISHED_RATES = (5e-5, 2e-4)

# Major compute capability of H100 and H200, where PyTorch's attention is cuDNN's.
_HOPPER = 9
_IDLE_PERCENT = 60
_ROOMY_SHARE = 0.25
_NEARLY_FULL_SHARE = 0.03
_CRAWL_FACTOR = 3.0
# How many blocks keep their activations, most first: a half, a third, a quarter, a sixth.
_SKIPS = (2, 3, 4, 6)
_BITS = MappingProxyType({"int8": 8, "nf4": 4})


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Published settings for a data set's size: ranges, one set of values to start from, and a sentence."""

    images: int
    epochs: tuple[int, int]
    values: MappingProxyType[str, Any]
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Change:
    """One option, its value now and the proposed one."""

    name: str
    old: object
    new: object


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of the memory ladder.

    Attributes:
        changes: the option meant, then what has to change with it.
        new_run: a begun run cannot take it; it needs another output_name.
    """

    changes: tuple[Change, ...]
    sentence: str
    new_run: bool

    @property
    def values(self) -> dict[str, Any]:
        """The new values by option name."""
        return {change.name: change.new for change in self.changes}


def dataset_advice(images: int) -> Advice:
    """Published settings for a number of images (files, repeats not counted)."""
    assert images >= 0, images
    if images < 100:
        epochs, rate, rank, warmup, size = (100, 200), 5e-5, 16, 50, "fewer than 100"
    elif images <= 1000:
        epochs, rate, rank, warmup, size = (50, 100), 1e-4, 32, 100, "100 to 1000"
    else:
        epochs, rate, rank, warmup, size = (20, 50), 2e-4, 64, 200, "more than 1000"
    values = {
        "num_epochs": epochs[0],
        "learning_rate": rate,
        "lora_rank": rank,
        "lora_alpha": float(rank),
        "lr_warmup_steps": warmup,
    }
    sentence = (
        f"{images} images: for {size}, {epochs[0]} to {epochs[1]} epochs, learning_rate {rate:g} and lora_rank {rank} "
        "are recommended. Repeats (10_name) count: an epoch with 10 repeats is worth ten."
    )
    return Advice(images=images, epochs=epochs, values=MappingProxyType(values), sentence=sentence)


def memory_ladder(config: TrainConfig) -> tuple[Rung, ...]:
    """What to change after running out of memory, in the published order, each step on top of those before.

    Taken all together they are valid. Empty where every step is taken already (see `memory_hints`).
    """
    found = (
        _smaller_batch(config),
        _checkpointing(config),
        _small_optimizer(config),
        *_quantised_base(config),
        _swapped(config),
        *_quantised_encoder(config),
        _light_targets(config),
        *_smaller_pictures(config),
        _smaller_rank(config),
    )
    return tuple(rung for rung in found if rung is not None)


def memory_hints(config: TrainConfig) -> tuple[str, ...]:
    """The ladder as sentences; where it is used up, what remains."""
    rungs = memory_ladder(config)
    if rungs:
        return tuple(rung.sentence for rung in rungs)
    drawing = ("If it happened while drawing samples: smaller sample_width and sample_height, or sample_prompts = [].",)
    return (
        "Every published step against running out of memory is taken already.",
        "Close other programs that use the GPU (nvidia-smi names them), also the browser and ComfyUI.",
        *(drawing if config.sample_prompts else ()),
        *(("Fewer pixels: resolution = 384.",) if config.resolution > 384 else ()),
        "Beyond that this model needs a GPU with more memory.",
    )


def _rung(sentence: str, **changes: tuple[object, object]) -> Rung:
    frozen = {spec.name for spec in options() if spec.rerun == "refuse"}
    new_run = not frozen.isdisjoint(changes)
    note = " A begun run cannot take it: choose another output_name." if new_run else ""
    return Rung(
        changes=tuple(Change(name=name, old=old, new=new) for name, (old, new) in changes.items()),
        sentence=sentence + note,
        new_run=new_run,
    )


def _smaller_batch(config: TrainConfig) -> Rung | None:
    now = config.images_at_once
    if now == 1:
        return None
    sentence = f"micro_batch_size = 1: the images of a batch are computed one by one instead of {now} at once."
    return _rung(sentence, micro_batch_size=(config.micro_batch_size, 1))


def _checkpointing(config: TrainConfig) -> Rung | None:
    if not config.gradient_checkpointing:
        sentence = "gradient_checkpointing = true: activations are computed twice instead of kept."
        skip = config.checkpoint_skip_every
        return _rung(
            sentence, gradient_checkpointing=(False, True), **({"checkpoint_skip_every": (skip, 0)} if skip else {})
        )
    if config.checkpoint_skip_every:
        sentence = "checkpoint_skip_every = 0: no block keeps its activations."
        return _rung(sentence, checkpoint_skip_every=(config.checkpoint_skip_every, 0))
    return None


def _small_optimizer(config: TrainConfig) -> Rung | None:
    # bitsandbytes' 8-bit state needs a GPU.
    if config.optimizer_type == "AdamW8bit" or config.device == "cpu":
        return None
    sentence = 'optimizer_type = "AdamW8bit": its state takes 1 to 2 GB less.'
    return _rung(sentence, optimizer_type=(config.optimizer_type, "AdamW8bit"))


def _quantised_base(config: TrainConfig) -> list[Rung]:
    """Before anything that changes the adapter: 8 bits are very near the exact numbers, 4 bits less so."""
    rungs = []
    for kind, now in _fewer_bits(config.quantize_base):
        bits = _BITS[kind]
        sentence = f'quantize_base = "{kind}": the frozen blocks take {bits} bits a number, and steps more time.'
        rungs.append(_rung(sentence, quantize_base=(now, kind)))
    return rungs


def _swapped(config: TrainConfig) -> Rung | None:
    """All main blocks; it needs every one of them checkpointed, which an earlier rung brings about."""
    # A CPU computes in the very memory that they would be moved to.
    if config.swap_blocks or config.device == "cpu":
        return None
    blocks = read_base(config).transformer.n_layers
    if blocks <= RING:
        return None
    sentence = f"swap_blocks = {blocks}: the main blocks' weights wait in main memory, and steps take more time."
    return _rung(sentence, swap_blocks=(0, blocks))


def _quantised_encoder(config: TrainConfig) -> list[Rung]:
    rungs = []
    for kind, now in _fewer_bits(config.quantize_gemma):
        bits = _BITS[kind]
        sentence = f'quantize_gemma = "{kind}": while captions are encoded, Gemma3 takes {bits} bits a number.'
        rungs.append(_rung(sentence, quantize_gemma=(now, kind)))
    return rungs


def _fewer_bits(now: str) -> tuple[tuple[str, str], ...]:
    """(kind, the one before) of each step down from here."""
    return {"no": (("int8", "no"), ("nf4", "int8")), "int8": (("nf4", "int8"),)}.get(now, ())


def _light_targets(config: TrainConfig) -> Rung | None:
    targets = config.lora_target_modules
    if all(any(f".{target}".endswith(f".{light}") for light in LIGHT_TARGETS) for target in targets):
        return None
    sentence = f"Strategy 1, fewer modules: lora_target_modules = [{', '.join(map(repr, LIGHT_TARGETS))}]."
    return _rung(sentence, lora_target_modules=(list(targets), list(LIGHT_TARGETS)))


def _smaller_pictures(config: TrainConfig) -> list[Rung]:
    rungs, now, shortest = [], config.resolution, config.min_bucket_reso
    for pixels in (768, 512):
        if now <= pixels:
            continue
        # A bucket's sides must still enclose the new resolution.
        bucket = {"min_bucket_reso": (shortest, 0)} if shortest > pixels else {}
        also = " and min_bucket_reso = 0" if bucket else ""
        rungs.append(_rung(f"resolution = {pixels} instead of {now}{also}.", resolution=(now, pixels), **bucket))
        now, shortest = pixels, 0 if bucket else shortest
    return rungs


def _smaller_rank(config: TrainConfig) -> Rung | None:
    rank, alpha = config.lora_rank, config.lora_alpha
    if rank <= 16:
        return None
    scaled = alpha * 16 / rank
    return _rung(
        f"lora_rank = 16 instead of {rank}, with lora_alpha = {scaled:g} for the same strength.",
        lora_rank=(rank, 16),
        lora_alpha=(alpha, scaled),
    )


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


def uses_old_card(config: TrainConfig, machine: Machine) -> bool:
    """Whether one of those GPUs is older than bf16."""
    return bool(without_bf16(chosen_gpus(config, machine)))


def device_name(config: TrainConfig, machine: Machine, *, cuda: bool) -> str:
    """What a training of ``config`` computes on here: its first GPU's name, "" for one that is not there."""
    if not cuda:
        return f"CPU with {machine.cpu_count} cores"
    return next((gpu.name for gpu in chosen_gpus(config, machine)), "")


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
    return (after - before) / 2**30


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
