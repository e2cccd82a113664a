"""Optimizers and learning-rate schedules by their config names."""

from collections.abc import Callable, Iterable
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.model.light_imports import without_bitsandbytes

with without_bitsandbytes("diffusers"):
    from diffusers.optimization import get_scheduler


def build_optimizer(
    config: TrainConfig, parameters: Iterable[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    """AdamW or bitsandbytes' AdamW8bit; what `check_optimizer` let through."""
    options: dict[str, Any] = {
        "lr": config.learning_rate,
        "betas": (config.adam_beta1, config.adam_beta2),
        "eps": config.adam_epsilon,
        "weight_decay": config.weight_decay,
    }
    check_optimizer(config, device)
    if config.optimizer_type == "AdamW":
        return torch.optim.AdamW(list(parameters), **options)
    from trainer_core.training.adamw_8bit import AsyncAdamW8bit

    return AsyncAdamW8bit(list(parameters), **options)


def check_optimizer(config: TrainConfig, device: torch.device) -> None:
    """Raises UserError `optimizer_unavailable` when it cannot run here; there is no silent fallback."""
    if config.optimizer_type == "AdamW":
        return
    if device.type != "cuda":
        raise UserError(
            "optimizer_unavailable",
            'optimizer_type = "AdamW8bit" needs an NVIDIA GPU; this run uses the CPU.',
            ['Set optimizer_type = "AdamW".'],
        )
    if find_spec("bitsandbytes") is None:
        raise UserError(
            "optimizer_unavailable",
            'optimizer_type = "AdamW8bit" needs the package bitsandbytes, which is not installed.',
            [
                "pip install -r requirements.txt",
                'Or set optimizer_type = "AdamW" (its state takes four times the memory).',
            ],
        )


def rate_of_step(config: TrainConfig, total_steps: int) -> Callable[[int], float]:
    """Learning rate as a pure function of the optimizer step (0-based), so that resuming needs no state."""
    probe = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    # Theirs named "constant" leaves the warm-up out; with none of it both are the same.
    name = "constant_with_warmup" if config.lr_scheduler == "constant" else config.lr_scheduler
    schedule = get_scheduler(
        name,
        probe,
        num_warmup_steps=config.lr_warmup_steps,
        num_training_steps=total_steps,
        num_cycles=config.lr_restarts,
    )
    if config.lr_scheduler == "polynomial":
        return lambda step: config.learning_rate * schedule.lr_lambdas[0](min(step, total_steps))
    return lambda step: config.learning_rate * schedule.lr_lambdas[0](step)
