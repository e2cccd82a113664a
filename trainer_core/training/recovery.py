"""Out of memory is not the end: the next setting that saves memory and keeps what is learned, then on from there.

The images of a batch are computed one by one, blocks recomputed, the optimizer's state and the frozen base held
in fewer bits, the base's blocks moved to main memory, one after the other as the published ladder has them; Gemma3 is
held in fewer bits where it is what does not fit. What would change more of the result (modules, pixels, rank) is left
to the user, who gets the rest of the ladder as advice.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from types import MappingProxyType

import torch

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.contracts.phase_names import DRAWING, ENCODING_GEMMA, LOADING, LOADING_GEMMA, TRAINING, VALIDATING
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.advice import Rung, memory_ladder
from trainer_core.planning.base import read_base
from trainer_core.planning.main_memory import main_memory
from trainer_core.planning.phases import GIB, swapped_bytes

# What can be changed by itself, by where memory ran out: for a picture or the weights fewer images at once do nothing,
# and the encoders run in memory of their own (their batches shrink at once: training/fitting.py).
_HELPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        LOADING_GEMMA: ("quantize_gemma",),
        ENCODING_GEMMA: ("quantize_gemma",),
        LOADING: ("quantize_base", "swap_blocks"),
        TRAINING: ("micro_batch_size", "gradient_checkpointing", "checkpoint_skip_every", "optimizer_type",
                   "quantize_base", "swap_blocks"),
        VALIDATING: ("micro_batch_size", "quantize_base", "swap_blocks"),
        DRAWING: ("quantize_base", "swap_blocks"),
    }
)  # fmt: skip
# Pinned memory cannot be paged out: so much must be left for everything else.
_HOST_SPARE = 2 * GIB


def next_rung(config: TrainConfig, place: str, *, begun: bool, processes: int = 1) -> Rung | None:
    """The first rung that may be taken unasked after memory ran out at `place`; None where the user has to decide.

    begun: there is a checkpoint, which can go on with neither another optimizer nor other features.
    processes: of this run on this machine, each with a base of its own.
    """
    if not config.recover_from_oom:
        return None
    return next((rung for rung in memory_ladder(config) if _may_take(config, rung, place, begun, processes)), None)


def _may_take(config: TrainConfig, rung: Rung, place: str, begun: bool, processes: int) -> bool:
    name = rung.changes[0].name
    if name not in _HELPS.get(place, ()):
        return False
    if begun and rung.new_run:
        return False
    if name == "optimizer_type" and not torch.cuda.is_available():
        return False
    if name == "swap_blocks" and not _can_swap(config, rung, processes):
        return False
    return find_spec("bitsandbytes") is not None or not ("nf4" in rung.values.values() or name == "optimizer_type")


def _can_swap(config: TrainConfig, rung: Rung, processes: int) -> bool:
    """Every block is checkpointed, and main memory has room for them."""
    if not config.gradient_checkpointing or config.checkpoint_skip_every:
        return False
    needed = swapped_bytes(with_rung(config, rung), read_base(config).transformer).host
    return main_memory().free > processes * needed + _HOST_SPARE


def with_rung(config: TrainConfig, rung: Rung) -> TrainConfig:
    """The config with a rung taken."""
    return replace(config, **rung.values)


def apply_rung(run: RunDir, config: TrainConfig, rung: Rung) -> TrainConfig:
    """The run's own config, with a rung taken, is what goes on, here and after an interruption."""
    changed = with_rung(config, rung)
    record = run.own_changes()
    for name, value in rung.values.items():
        before, now = record.get(name, {}), getattr(config, name)
        # A rung on top of another: what the user wrote is what the first one changed.
        record[name] = {"old": before["old"] if before.get("new") == now else now, "new": value}
    write_json_atomic(run.recovered_file, record)
    run.create(changed)
    return changed


def recovery_message(rung: Rung, place: str, step: int) -> str:
    """The sentence of the event."""
    where = f"its checkpoint of step {step}" if step else "its beginning"
    # The note about a new name is for a person who changes a begun run.
    settings = ", ".join(f"{change.name} = {change.new}" for change in rung.changes)
    note = ""
    if rung.changes[0].name == "quantize_base":
        note = " From here on it trains beside a base that is a little off."
    elif rung.changes[0].name == "quantize_gemma":
        note = " All captions are encoded anew, with an encoder that is a little off."
    return f"The GPU ran out of memory while {place}. The run goes on from {where} with {settings}.{note}"
