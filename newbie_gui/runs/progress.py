"""Where a run stands: phase or step, speed, time left, memory, temperature."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from newbie_gui.runs.history import RunFacts
from newbie_gui.runs.store import Row
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.phase_names import DRAWING, TRAINING, VALIDATING
from trainer_core.planning.gpu_choice import chosen_gpus
from trainer_core.planning.hardware import Gpu, Machine

_SILENT_S = 300.0


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What the progress line shows; ``None`` stands for what is not known.

    Attributes:
        phase: "steps" while it trains, else the phase as the trainer names it; "" before the first.
        done, total: in the phase's own unit; ``total`` 0 where it is not known.
        between: what it does between two steps, as the trainer names it; "" while it trains.
        seconds_per_step, images_per_second, eta_seconds: only while it trains.
        memory_used_gib, memory_total_gib: of the card it trains on; of main memory where it trains without one.
        gpu: name of that card, "" without one.
        temperature: of that card, in degrees Celsius.
        elapsed_seconds: since it was started this time.
        silent_seconds: since a run at work last told anything, where that is far longer than it should be.
        halted: the system does not let its process run.
    """

    phase: str = ""
    done: int = 0
    total: int = 0
    between: str = ""
    epoch: int | None = None
    smoothed: float | None = None
    seconds_per_step: float | None = None
    images_per_second: float | None = None
    eta_seconds: float | None = None
    elapsed_seconds: float | None = None
    silent_seconds: float | None = None
    halted: bool = False
    memory_used_gib: float | None = None
    memory_total_gib: float | None = None
    gpu: str = ""
    temperature: int | None = None


def progress_of(row: Row, facts: RunFacts, config: TrainConfig | None, machine: Machine) -> Progress:
    """The line of one run. Speed, time left and hardware are only told of a run that is at work."""
    step, begun = facts.last.get("step", {}), facts.last.get("started", {})
    figures: dict[str, Any] = {
        **_where(row, step, _newer_phase(row, facts), facts.trains),
        "epoch": step.get("epoch"),
        "smoothed": _number(step.get("loss_smoothed")),
    }
    if row.at_work:
        if facts.trains:
            figures.update({key: _number(step.get(key)) for key in _SPEED})
        figures["elapsed_seconds"] = max(0.0, time.time() - begun["time"]) if "time" in begun else None
        figures["silent_seconds"] = _silence(facts)
        figures["halted"] = row.run.halted()
        figures.update(_hardware(step, begun, config, machine))
    return Progress(**figures)


_SPEED = ("seconds_per_step", "images_per_second", "eta_seconds")


def _silence(facts: RunFacts) -> float | None:
    """Loading a large base says nothing for a minute or two; after five, or ten steps, something hangs."""
    at, pace = _number(facts.newest.get("time")), _number(facts.last.get("step", {}).get("seconds_per_step"))
    silent = time.time() - at if at is not None else 0.0
    return silent if silent > max(_SILENT_S, 10.0 * (pace or 0.0)) else None


def _newer_phase(row: Row, facts: RunFacts) -> Mapping[str, Any]:
    """What a run at work is at, if it has told so after its newest step; else empty: the one that waits has told of an
    earlier life.
    """
    phase, step = facts.last.get("phase", {}), facts.last.get("step", {})
    return phase if row.at_work and phase.get("order", 0) > step.get("order", 0) else {}


def _where(row: Row, step: Mapping[str, Any], phase: Mapping[str, Any], trains: bool) -> dict[str, Any]:
    """``phase``: newer than ``step``, or empty."""
    name = str(phase.get("phase", ""))
    if name and not (trains and name in (VALIDATING, DRAWING)):
        shown = "steps" if name == TRAINING else name
        return {"phase": shown, "done": int(phase.get("done", 0)), "total": int(phase.get("total", 0))}
    if not step and not row.step:
        return {}
    # state.json is a second behind the events, and all there is of a run whose events are gone.
    return {
        "phase": "steps",
        "done": step.get("step", row.step),
        "total": step.get("total_steps", row.total),
        "between": name,
    }


def _hardware(
    step: Mapping[str, Any], begun: Mapping[str, Any], config: TrainConfig | None, machine: Machine
) -> dict[str, Any]:
    gpu = _card(begun, config, machine)
    if gpu is not None:
        return {
            "gpu": gpu.name,
            "memory_used_gib": gpu.used_mib / 1024 if gpu.total_mib else _number(step.get("memory_gib")),
            "memory_total_gib": gpu.total_mib / 1024 if gpu.total_mib else None,
            "temperature": gpu.temperature,
        }
    return {
        "memory_used_gib": _number(step.get("memory_gib")),
        "memory_total_gib": machine.memory_total_mib / 1024 if machine.memory_total_mib else None,
    }


def _card(begun: Mapping[str, Any], config: TrainConfig | None, machine: Machine) -> Gpu | None:
    """Of several the fullest one: it decides whether the run fits."""
    if config is None or not str(begun.get("device", "")).startswith("cuda"):
        return None
    return max(chosen_gpus(config, machine), key=lambda gpu: gpu.used_mib, default=None)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
