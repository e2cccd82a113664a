"""The training loop: order(seed, epoch) -> batch -> loss -> backward -> clip -> step -> one event."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import psutil
import torch
from accelerate import Accelerator
from torch import nn

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.dataset.order import epoch_order, keyed_seed
from trainer_core.model.nextdit import NextDiT
from trainer_core.training.batches import make_batch, to_device
from trainer_core.training.checkpoint import restore_optimizer
from trainer_core.training.features import FeatureStore, Sample
from trainer_core.training.flow import interpolate, velocity_loss
from trainer_core.training.optim import build_optimizer, rate_of_step

SMOOTHING = 0.98


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Figures of one optimizer step. lr is the one the step used; grad_norm is before clipping."""

    loss: float
    lr: float
    grad_norm: float
    images: int


class Schedule:
    """Which images each step sees: a pure function of (config, samples), nothing is remembered but the last epoch."""

    def __init__(self, config: TrainConfig, samples: Sequence[Sample]) -> None:
        self._config = config
        self._samples = samples
        self._epoch: tuple[int, list[list[tuple[int, ...]]]] = (-1, [])
        self.steps_per_epoch = len(self._groups(0))
        self.total_steps = config.max_train_steps or config.num_epochs * self.steps_per_epoch

    def epoch_of(self, step: int) -> int:
        return step // self.steps_per_epoch

    def group(self, step: int) -> list[list[Sample]]:
        """The micro-batches of one optimizer step; the last group of an epoch may be smaller."""
        epoch, position = divmod(step, self.steps_per_epoch)
        return [[self._samples[i] for i in batch] for batch in self._groups(epoch)[position]]

    def _groups(self, epoch: int) -> list[list[tuple[int, ...]]]:
        if self._epoch[0] != epoch:
            batches = epoch_order(
                [sample.bucket for sample in self._samples],
                [sample.item.repeats for sample in self._samples],
                batch_size=self._config.train_batch_size,
                seed=self._config.seed,
                epoch=epoch,
            )
            size = self._config.gradient_accumulation_steps
            self._epoch = (epoch, [list(batches[i : i + size]) for i in range(0, len(batches), size)])
        return self._epoch[1]


class Trainer:
    """Owns the model, the adapter's parameters and the optimizer; `step(n)` does optimizer step n (0-based)."""

    def __init__(
        self,
        config: TrainConfig,
        model: NextDiT,
        parameters: Mapping[str, nn.Parameter],
        *,
        store: FeatureStore,
        schedule: Schedule,
        accelerator: Accelerator,
    ) -> None:
        self._config = config
        self._store = store
        self.schedule = schedule
        self.accelerator = accelerator
        self.model = model
        self.parameters = dict(parameters)
        optimizer = build_optimizer(config, self.parameters.values(), accelerator.device)
        self._wrapped, self.optimizer = accelerator.prepare(model, optimizer)
        self._rate = rate_of_step(config, schedule.total_steps)

    def step(self, step: int) -> StepResult:
        """Raises UserError `non_finite` naming the step's images; parameters are then untouched."""
        accelerator = self.accelerator
        group = self.schedule.group(step)
        images = sum(len(batch) for batch in group)
        lr = self._rate(step)
        for settings in self.optimizer.param_groups:
            settings["lr"] = lr
        self._wrapped.train()
        total = 0.0
        for micro, samples in enumerate(group):
            last = micro + 1 == len(group)
            with nullcontext() if last else accelerator.no_sync(self._wrapped):
                losses = self._losses(step, micro, samples)
                # Each image of the step counts the same, also in an epoch's smaller last batches.
                accelerator.backward(losses.sum() / images)
            total += losses.detach().sum().item()
        norm = self._clip()
        self._require_finite(step, total / images, norm, group)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return StepResult(loss=total / images, lr=lr, grad_norm=norm, images=images)

    def restore(self, optimizer: Mapping[Any, Any], scaler: Mapping[str, Any]) -> None:
        """Put back a checkpoint's optimizer and, with fp16, its loss scale."""
        restore_optimizer(self.optimizer, optimizer)
        if self.accelerator.scaler is not None and scaler:
            self.accelerator.scaler.load_state_dict(dict(scaler))

    def scaler_state(self) -> dict[str, Any]:
        """The loss scale of fp16; empty otherwise."""
        return {} if self.accelerator.scaler is None else self.accelerator.scaler.state_dict()

    def _losses(self, step: int, micro: int, samples: Sequence[Sample]) -> torch.Tensor:
        config = self._config
        first = micro * config.train_batch_size
        batch = make_batch(config, self._store, samples, step=step, first_index=first, patch=self.model.patch_size)
        batch = to_device(batch, self.accelerator.device)
        # LoRA dropout draws from torch's global generators; nothing else in a step does.
        torch.manual_seed(keyed_seed(config.seed, step, first, "dropout"))
        x_t = interpolate(batch.data, batch.noise, batch.t)
        with self.accelerator.autocast():
            velocity = self._wrapped(x_t, batch.t, batch.cap_feats, batch.cap_mask, batch.pooled)
        return velocity_loss(velocity, batch.data, batch.noise)

    def _clip(self) -> float:
        limit = self._config.gradient_clip_norm or math.inf
        return float(self.accelerator.clip_grad_norm_(self.parameters.values(), limit))

    def _require_finite(self, step: int, loss: float, norm: float, group: Sequence[Sequence[Sample]]) -> None:
        # With fp16 the scaler skips steps whose gradients overflow; only the loss tells of real trouble.
        scaled = self.accelerator.scaler is not None
        if math.isfinite(loss) and (scaled or math.isfinite(norm)):
            return
        self.optimizer.zero_grad(set_to_none=True)
        names = [sample.item.relative for batch in group for sample in batch]
        what = "loss" if not math.isfinite(loss) else "gradient"
        raise UserError(
            "non_finite",
            f"The {what} of step {step + 1} is not a finite number. Images of that step: {', '.join(map(str, names))}.",
            [
                "Look at those images and captions.",
                "Lower learning_rate (to a half or a fifth).",
                'Use mixed_precision = "bf16" instead of "fp16".',
                "The last good checkpoint is kept: start the run again to continue from it.",
            ],
        )


@dataclass
class Meter:
    """Speed, smoothing and time left; `smoothed` is part of a checkpoint so that a resumed curve goes on exactly."""

    total_steps: int
    smoothed: float | None = None
    _last: float = field(default_factory=time.monotonic)
    _pace: float | None = None

    def pause(self) -> None:
        """Leave out what happened since the last step (sampling, saving) from the speed."""
        self._last = time.monotonic()

    def fields(self, step: int, result: StepResult) -> dict[str, Any]:
        """Fields of the `step` event after optimizer step `step` (1-based). Times in seconds, memory in GiB."""
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        self._pace = seconds if self._pace is None else 0.9 * self._pace + 0.1 * seconds
        before = result.loss if self.smoothed is None else self.smoothed
        self.smoothed = SMOOTHING * before + (1 - SMOOTHING) * result.loss
        return {
            "loss": result.loss,
            "loss_smoothed": self.smoothed,
            "lr": result.lr,
            "grad_norm": result.grad_norm,
            "images_per_second": result.images / max(seconds, 1e-9),
            "seconds_per_step": seconds,
            "memory_gib": memory_gib(),
            "eta_seconds": self._pace * (self.total_steps - step),
        }


def memory_gib() -> float:
    """torch's peak allocation on the GPU, or the process's resident memory without one."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / 2**30
    return psutil.Process().memory_info().rss / 2**30
