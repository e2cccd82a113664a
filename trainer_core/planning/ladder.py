"""The memory ladder with what each step is worth: the published advice beside this engine's own estimate."""

from dataclasses import replace

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import DataFacts
from trainer_core.planning.advice import memory_hints, memory_ladder
from trainer_core.planning.estimate import estimate

GIB = 2**30


def ladder_hints(config: TrainConfig, data: DataFacts | None = None) -> tuple[str, ...]:
    """`memory_hints`, each with the estimated peak on one GPU after it and all those before it, in GiB."""
    rungs = memory_ladder(config)
    if not rungs:
        return memory_hints(config)
    hints, peak = [], estimate(config, data).peak.bytes
    for rung in rungs:
        config = replace(config, **rung.values)
        before, peak = peak, estimate(config, data).peak.bytes
        hints.append(f"{rung.sentence} Estimated peak: {before / GIB:.1f} -> {peak / GIB:.1f} GiB.")
    return tuple(hints)
