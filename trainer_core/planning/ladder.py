"""What to change after running out of memory: the published ladder, and what each rung is worth by the estimate.

A rung that is taken already is left out.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from trainer_core.contracts.config import Change, TrainConfig, changes
from trainer_core.contracts.datafacts import DataFacts
from trainer_core.planning.base import read_base
from trainer_core.planning.estimate import Estimate, estimate
from trainer_core.planning.phases import GIB
from trainer_core.planning.swapped import RING

# The modules of the published strategy 1; a test holds them equal to presets/16gb.toml.
LIGHT_TARGETS = ("attention.qkv", "attention.out", "time_text_embed.1")
# Share of the peak.
WORTH_A_NEW_RUN = 0.01
_BITS = MappingProxyType({"int8": 8, "nf4": 4})
_FEWER_BITS = MappingProxyType({"no": "int8", "int8": "nf4"})


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


def memory_ladder(config: TrainConfig) -> tuple[Rung, ...]:
    """What to change after running out of memory, in the published order, each step on top of those before.

    Taken all together they are valid. Empty where every step is taken already (see `memory_hints`).
    """
    rungs = []
    for step in _STEPS:
        while (found := step(config)) is not None:
            values, sentence = found
            taken = replace(config, **values)
            changed = changes(config, taken)
            new_run = any(change.rerun == "refuse" for change in changed)
            note = " A begun run cannot take it: choose another output_name." if new_run else ""
            rungs.append(Rung(changes=changed, sentence=sentence + note, new_run=new_run))
            config = taken
    return tuple(rungs)


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


def estimated_ladder(config: TrainConfig, data: DataFacts | None = None) -> tuple[Rung, ...]:
    """`memory_ladder`, each sentence with the estimated peak on one GPU, in GiB, before and after its rung.

    Nobody is sent to another output_name for less than a hundredth of the peak: such rungs are left out.
    """
    rungs, now, before = [], config, estimate(config, data)
    for rung in memory_ladder(config):
        taken = replace(now, **rung.values)
        after = estimate(taken, data)
        if rung.new_run and _saved(before, after) < WORTH_A_NEW_RUN * before.peak.bytes:
            continue
        peaks = (before.peak.bytes / GIB, after.peak.bytes / GIB)
        sentence = f"{rung.sentence} Estimated peak: {peaks[0]:.1f} -> {peaks[1]:.1f} GiB."
        rungs.append(replace(rung, sentence=sentence))
        now, before = taken, after
    return tuple(rungs)


def ladder_hints(config: TrainConfig, data: DataFacts | None = None) -> tuple[str, ...]:
    """`estimated_ladder` as sentences; where it is used up, what remains."""
    return tuple(rung.sentence for rung in estimated_ladder(config, data)) or memory_hints(config)


def _saved(before: Estimate, after: Estimate) -> int:
    """Bytes in the phase that gains most: the one that ran out need not be the one estimated highest."""
    return max(old.bytes - new.bytes for old, new in zip(before.phases, after.phases, strict=True))


Step = tuple[dict[str, Any], str] | None
"""New values by option name, and the sentence that says it; None where there is nothing left to take."""


def _smaller_batch(config: TrainConfig) -> Step:
    now = config.images_at_once
    if now == 1:
        return None
    sentence = f"micro_batch_size = 1: the images of a batch are computed one by one instead of {now} at once."
    return {"micro_batch_size": 1}, sentence


def _checkpointing(config: TrainConfig) -> Step:
    if not config.gradient_checkpointing:
        sentence = "gradient_checkpointing = true: activations are computed twice instead of kept."
        return {"gradient_checkpointing": True, "checkpoint_skip_every": 0}, sentence
    if config.checkpoint_skip_every:
        return {"checkpoint_skip_every": 0}, "checkpoint_skip_every = 0: no block keeps its activations."
    return None


def _small_optimizer(config: TrainConfig) -> Step:
    # bitsandbytes' 8-bit state needs a GPU.
    if config.optimizer_type == "AdamW8bit" or config.device == "cpu":
        return None
    return {"optimizer_type": "AdamW8bit"}, 'optimizer_type = "AdamW8bit": its state takes a quarter of the memory.'


def _quantised_base(config: TrainConfig) -> Step:
    """Before anything that changes the adapter: 8 bits are very near the exact numbers, 4 bits less so."""
    kind = _FEWER_BITS.get(config.quantize_base)
    if kind is None:
        return None
    sentence = f'quantize_base = "{kind}": the frozen blocks take {_BITS[kind]} bits a number, and steps more time.'
    return {"quantize_base": kind}, sentence


def _swapped(config: TrainConfig) -> Step:
    """All main blocks; it needs every one of them checkpointed, which an earlier rung brings about."""
    # A CPU computes in the very memory that they would be moved to.
    if config.swap_blocks or config.device == "cpu":
        return None
    blocks = read_base(config).transformer.n_layers
    if blocks <= RING:
        return None
    sentence = f"swap_blocks = {blocks}: the main blocks' weights wait in main memory, and steps take more time."
    return {"swap_blocks": blocks}, sentence


def _quantised_encoder(config: TrainConfig) -> Step:
    kind = _FEWER_BITS.get(config.quantize_gemma)
    if kind is None:
        return None
    bits = _BITS[kind]
    sentence = f'quantize_gemma = "{kind}": while captions are encoded, Gemma3 takes {bits} bits a number.'
    return {"quantize_gemma": kind}, sentence


def _light_targets(config: TrainConfig) -> Step:
    targets = config.lora_target_modules
    if all(any(f".{target}".endswith(f".{light}") for light in LIGHT_TARGETS) for target in targets):
        return None
    sentence = f"Strategy 1, fewer modules: lora_target_modules = [{', '.join(map(repr, LIGHT_TARGETS))}]."
    return {"lora_target_modules": list(LIGHT_TARGETS)}, sentence


def _smaller_pictures(config: TrainConfig) -> Step:
    pixels = next((pixels for pixels in (768, 512) if pixels < config.resolution), None)
    if pixels is None:
        return None
    # A bucket's sides must still enclose the new resolution.
    bucket = {"min_bucket_reso": 0} if config.min_bucket_reso > pixels else {}
    also = " and min_bucket_reso = 0" if bucket else ""
    return {"resolution": pixels, **bucket}, f"resolution = {pixels} instead of {config.resolution}{also}."


def _smaller_rank(config: TrainConfig) -> Step:
    rank = config.lora_rank
    if rank <= 16 or config.adapter_type != "lora":
        return None
    scaled = config.lora_alpha * 16 / rank
    sentence = f"lora_rank = 16 instead of {rank}, with lora_alpha = {scaled:g} for the same strength."
    return {"lora_rank": 16, "lora_alpha": scaled}, sentence


_STEPS: tuple[Callable[[TrainConfig], Step], ...] = (
    _smaller_batch,
    _checkpointing,
    _small_optimizer,
    _quantised_base,
    _swapped,
    _quantised_encoder,
    _light_targets,
    _smaller_pictures,
    _smaller_rank,
)
