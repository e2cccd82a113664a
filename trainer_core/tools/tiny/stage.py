"""A resumable training stage of the tiny-base builder: whatever is random depends on (seed, step) alone."""

import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

SAVE_SECONDS = 90.0
LOG_STEPS = 50


def write_json(file: Path, value: object, *, sort_keys: bool = False) -> None:
    """As the shipped base has its JSON files."""
    file.write_text(json.dumps(value, indent=1, sort_keys=sort_keys) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """`steps` optimizer steps of `loss(step)` on `model`, learning rate warmed up and then cosine to zero."""

    name: str
    steps: int
    learning_rate: float
    warmup: int = 100
    weight_decay: float = 0.0
    average: float = 0.0
    """Decay of the averaged weights that the stage returns; 0 returns the last weights."""

    def rate(self, step: int) -> float:
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def run_stage(stage: Stage, model: nn.Module, loss: Callable[[int], Tensor], work: Path) -> dict[str, Tensor]:
    """Train (or go on training) and return the stage's weights by name, fp32.

    Progress is kept in `work/<name>.pt`, replaced atomically, so the process may be killed at any time.
    """
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=stage.learning_rate, weight_decay=stage.weight_decay, betas=(0.9, 0.98)
    )
    averaged = {name: value.detach().clone() for name, value in model.state_dict().items()}
    file = work / f"{stage.name}.pt"
    first = _restore(file, model, optimizer, averaged)
    saved_at = started_at = time.monotonic()
    recent = 0.0
    for step in range(first, stage.steps):
        for group in optimizer.param_groups:
            group["lr"] = stage.rate(step)
        value = loss(step)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        _average(averaged, model, min(stage.average, (1 + step) / (10 + step)))
        recent = value.item() if step == first else 0.98 * recent + 0.02 * value.item()
        if (step + 1) % LOG_STEPS == 0:
            pace = (time.monotonic() - started_at) / (step + 1 - first)
            print(f"{stage.name} {step + 1}/{stage.steps} loss {recent:.4f} {pace:.3f} s/step", flush=True)
        if time.monotonic() - saved_at > SAVE_SECONDS or step + 1 == stage.steps:
            _save(file, model, optimizer, averaged, step + 1)
            saved_at = time.monotonic()
    return averaged


def _average(averaged: dict[str, Tensor], model: nn.Module, decay: float) -> None:
    current = model.state_dict()
    values = list(averaged.values())
    torch._foreach_lerp_(values, [current[name] for name in averaged], 1.0 - decay)


def _save(
    file: Path, model: nn.Module, optimizer: torch.optim.Optimizer, averaged: dict[str, Tensor], step: int
) -> None:
    temporary = file.with_suffix(".tmp")
    state = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "averaged": averaged,
        "step": step,
    }
    torch.save(state, temporary)
    os.replace(temporary, file)


def _restore(file: Path, model: nn.Module, optimizer: torch.optim.Optimizer, averaged: dict[str, Tensor]) -> int:
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    averaged.update(state["averaged"])
    return int(state["step"])
