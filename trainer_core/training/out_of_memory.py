"""Out of memory is not the end: the next setting that saves memory and keeps what is learned, then on from there.

The images of a batch are computed one by one, blocks recomputed, the optimizer's state and the frozen base held
in fewer bits, the base's blocks moved to main memory, one after the other as the published ladder has them; Gemma3 is
held in fewer bits where it is what does not fit. What would change more of the result (modules, pixels, rank) is left
to the user, who gets the rest of the ladder as advice.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from importlib.util import find_spec
from types import MappingProxyType

import torch

from trainer_core.contracts.checkpoints import complete_checkpoints, step_of
from trainer_core.contracts.config import TrainConfig, load_config
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.contracts.phase_names import DRAWING, ENCODING_GEMMA, LOADING, LOADING_GEMMA, TRAINING, VALIDATING
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.base import read_base
from trainer_core.planning.ladder import Rung, memory_ladder
from trainer_core.planning.main_memory import main_memory
from trainer_core.planning.phases import GIB, swapped_bytes
from trainer_core.training.checks import adapted
from trainer_core.training.device import device_type
from trainer_core.training.reporting import Reporter

# What can be changed by itself, by where memory ran out: for a picture or the weights fewer images at once do nothing,
# and the encoders run in memory of their own (their batches shrink at once: training/encode_fallback.py).
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


def take_next_rung(run: RunDir, place: str, processes: int) -> bool:
    """After one of `processes` ran out of memory at `place`: the run's own config gets the next rung of the ladder.

    For who starts them again, when all have ended, and holds the run's lock: the run is this process's from then on.
    False where the user has to decide; nothing is written then.
    """
    config = load_config(run.config_file)
    # This process trains nothing: it takes no memory of a card.
    carried_out, _ = adapted(config, torch.device(device_type(config.device)))
    steps = [step_of(folder) for folder in complete_checkpoints(run.checkpoints)]
    rung = next_rung(carried_out, place, begun=bool(steps), processes=processes)
    if rung is None:
        return False
    apply_rung(run, config, rung)
    message = recovery_message(rung, place, max(steps, default=0))
    _tell(run, "warning", message=message, settings=rung.values)
    run.write_state("running")
    return True


def end_stopped(run: RunDir) -> None:
    """The run was asked to stop while none of its processes trained."""
    with run.lock():
        run.write_state("stopped")
        message = "stopped before it went on with less memory; its checkpoints are kept"
        _tell(run, "stopped", step=run.read_state()["step"], message=message)


def end_failed(run: RunDir) -> None:
    """Its processes ended before they opened the run again; what they printed, or the launcher, tells why."""
    message = "The GPU ran out of memory, and the run's processes could not be started again with less."
    with run.lock():
        run.write_state("failed", code="training_failed", message=message)


def _tell(run: RunDir, kind: str, **fields: object) -> None:
    with closing(Reporter(EventLog(run.events_file), run.log_file)) as reporter:
        reporter.emit(kind, **fields)
