"""The training loop: order(seed, epoch) -> batch -> loss -> backward -> clip -> step -> one event."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.dataset.order import keyed_seed
from trainer_core.model.nextdit import NextDiT
from trainer_core.planning.phases import GIB
from trainer_core.training.batches import Batch, Features, make_batch, to_device
from trainer_core.training.checkpoint import restore_optimizer
from trainer_core.training.distributed import World
from trainer_core.training.features import Sample
from trainer_core.training.flow import interpolate, velocity_loss
from trainer_core.training.loading import Prefetcher
from trainer_core.training.memory import peak_bytes, resident_bytes
from trainer_core.training.optim import build_optimizer
from trainer_core.training.steps import Schedule

SMOOTHING = 0.98


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """Figures of one optimizer step. lr is the one the step used; grad_norm is before clipping."""

    loss: float
    lr: float
    grad_norm: float
    images: int


class HostCopy:
    """A few numbers on their way from the device: copied when it comes to them, waited for only by `read`.

    Asking for a tensor's value at once would hold the host up until the device has nothing left to do.
    """

    def __init__(self, numbers: Tensor) -> None:
        """numbers: [n] of any float type."""
        self._event: torch.cuda.Event | None = None
        self._host = numbers
        if numbers.is_cuda:
            self._host = torch.empty_like(numbers, device="cpu", pin_memory=True)
            self._host.copy_(numbers, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def read(self) -> list[float]:
        if self._event is not None:
            self._event.synchronize()
        values: list[float] = self._host.tolist()
        return values


_LATER_HINTS = (
    "Look at those images and captions.",
    "Lower learning_rate (to a half or a fifth).",
    'Use mixed_precision = "bf16" instead of "fp16".',
    "The last good checkpoint is kept: start the run again to continue from it.",
)
# Nothing was learnt before the first step.
_FIRST_HINTS = (
    "Look at those images and captions.",
    'Use mixed_precision = "bf16" instead of "fp16".',
    "The base model's files may be damaged: fetch them again.",
)


@dataclass(frozen=True, kw_only=True)
class LaunchedStep:
    """An optimizer step that the device was told to do. `figures`: its loss and its gradients' norm."""

    step: int
    lr: float
    group: Sequence[Sequence[Sample]]
    figures: HostCopy
    scaled: bool

    def result(self) -> StepResult:
        """Waits for it. Raises UserError `non_finite` naming the step's images: what it did is worth nothing."""
        loss, norm = self.figures.read()
        # With fp16 the scaler skips steps whose gradients overflow: overflow.py tells when that is real trouble.
        if not math.isfinite(loss) or not (self.scaled or math.isfinite(norm)):
            raise self.not_finite("loss" if not math.isfinite(loss) else "gradient")
        return StepResult(loss=loss, lr=self.lr, grad_norm=norm, images=sum(len(batch) for batch in self.group))

    def not_finite(self, what: str) -> UserError:
        """The error for its "loss" or "gradient"."""
        names = [sample.item.relative for batch in self.group for sample in batch]
        return UserError(
            "non_finite",
            f"The {what} of step {self.step + 1} is not a finite number. Images of that step: "
            f"{', '.join(map(str, names))}.",
            _LATER_HINTS if self.step else _FIRST_HINTS,
        )


@dataclass(frozen=True, kw_only=True)
class _MicroBatch:
    """Images of a batch computed at once: their step, their batch's number, the first one's in the global batch."""

    step: int
    batch: int
    first: int
    samples: tuple[Sample, ...]


class Trainer:
    """Owns the model, the adapter's parameters and the optimizer; `step(n)` does optimizer step n (0-based)."""

    def __init__(
        self,
        config: TrainConfig,
        model: NextDiT,
        parameters: Mapping[str, nn.Parameter],
        *,
        store: Features,
        schedule: Schedule,
        world: World,
    ) -> None:
        self._config = config
        self._store = store
        self._world = world
        self.schedule = schedule
        self.accelerator = world.accelerator
        self.model = model
        self.parameters = dict(parameters)
        optimizer = build_optimizer(config, self.parameters.values(), self.accelerator.device)
        trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
        self._wrapped, self.optimizer = world.wrap(model, trained, optimizer)
        self._rate = schedule.rate()
        self._batches = Prefetcher(self._make, self._after, config.dataloader_num_workers)

    def step(self, step: int) -> StepResult:
        """Do it and wait for it. Raises UserError `non_finite`."""
        return self.launch(step).result()

    def launch(self, step: int) -> LaunchedStep:
        """Tell the device to do it; only `LaunchedStep.result` waits."""
        group = self.schedule.group(step)
        lr = self._rate(step)
        for settings in self.optimizer.param_groups:
            settings["lr"] = lr
        if not self.model.training:
            # Samples and validation left it so; to go through thousands of modules takes a tenth of a step.
            self._wrapped.train()
        loss = self._backward(step, len(group), sum(len(batch) for batch in group))
        norm = self._clip()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        figures = HostCopy(torch.stack((loss, norm.to(loss))))
        scaled = self.accelerator.scaler is not None
        return LaunchedStep(step=step, lr=lr, group=group, figures=figures, scaled=scaled)

    def close(self) -> None:
        """Stop the threads that make batches."""
        self._batches.close()

    def _backward(self, step: int, batches: int, images: int) -> Tensor:
        """Gradients of this process's batches, summed over all processes; returns the step's mean loss, fp64."""
        accelerator, world = self.accelerator, self._world
        # More processes than batches: one left over joins with a weight of 0, for gradients are exchanged by all.
        weight = float(world.rank < batches)
        totals = torch.zeros(
            self._config.gradient_accumulation_steps, dtype=torch.float64, device=accelerator.device
        )  # fmt: skip
        work = self._work(step)
        for part in work:
            with nullcontext() if part is work[-1] else accelerator.no_sync(self._wrapped):
                losses = self._losses(part)
                # Each image of the step counts the same, also in an epoch's smaller last batches.
                accelerator.backward(losses.sum() / images * weight)
            totals[part.batch // world.size] += losses.detach().sum()
        # By rank and place, so in the order of the batches.
        return torch.stack(world.gather_row(totals)).t().flatten()[:batches].sum() / images

    def restore(self, optimizer: Mapping[Any, Any], scaler: Mapping[str, Any]) -> None:
        """Put back a checkpoint's optimizer and, with fp16, its loss scale."""
        restore_optimizer(self.optimizer, optimizer)
        if self.accelerator.scaler is not None and scaler:
            self.accelerator.scaler.load_state_dict(dict(scaler))

    def loss_scale(self) -> float:
        """What fp16 multiplies the loss by, 1 otherwise; waits for the device."""
        return 1.0 if self.accelerator.scaler is None else float(self.accelerator.scaler.get_scale())

    def scaler_state(self) -> dict[str, Any]:
        """The loss scale of fp16; empty otherwise."""
        return {} if self.accelerator.scaler is None else self.accelerator.scaler.state_dict()

    def _make(self, work: _MicroBatch) -> Batch:
        """The batch of one micro-batch, on the CPU; may run in a thread."""
        return make_batch(
            self._config, self._store, work.samples, step=work.step, first_index=work.first, patch=self.model.patch_size
        )

    def _work(self, step: int) -> list[_MicroBatch]:
        """What this process computes in one step; with nothing left for it the first, as gradients need all."""
        group = self.schedule.group(step)
        mine = list(range(self._world.rank, len(group), self._world.size)) or [0]
        return [part for number in mine for part in self._parts(step, number, group[number])]

    def _parts(self, step: int, number: int, batch: Sequence[Sample]) -> Iterator[_MicroBatch]:
        """A batch, in as many parts as are computed one after the other."""
        size, before = self._config.images_at_once, number * self._config.train_batch_size
        for start in range(0, len(batch), size):
            samples = tuple(batch[start : start + size])
            yield _MicroBatch(step=step, batch=number, first=before + start, samples=samples)

    def _after(self, work: _MicroBatch) -> Iterator[_MicroBatch]:
        """What follows `work` in this process, to the end of training."""
        yield from (following for following in self._work(work.step) if following.first > work.first)
        for step in range(work.step + 1, self.schedule.total_steps):
            yield from self._work(step)

    def _losses(self, work: _MicroBatch) -> torch.Tensor:
        batch = to_device(self._batches.get(work), self.accelerator.device)
        # LoRA dropout draws from torch's global generators; nothing else in a step does.
        torch.manual_seed(keyed_seed(self._config.seed, work.step, work.first, "dropout"))
        x_t = interpolate(batch.data, batch.noise, batch.t)
        with self.accelerator.autocast():
            velocity = self._wrapped(x_t, batch.t, batch.cap_feats, batch.cap_lengths, batch.pooled)
        return velocity_loss(velocity, batch.data, batch.noise)

    def _clip(self) -> Tensor:
        limit = self._config.gradient_clip_norm or math.inf
        norm: Tensor = self.accelerator.clip_grad_norm_(self.parameters.values(), limit)
        return norm


@dataclass
class Meter:
    """Speed, smoothing, memory and time left; `smoothed` is part of a checkpoint: a resumed curve goes on exactly.

    `occasions_left` tells how often each kind of pause comes from a step on; one not seen yet costs nothing so far.
    """

    total_steps: int
    smoothed: float | None = None
    occasions_left: Callable[[int], Mapping[str, int]] = field(default=lambda step: {})
    device: torch.device = torch.device("cpu")
    _last: float = field(default_factory=time.monotonic)
    _pace: float | None = None
    _timed: int = 0
    # By kind: how many there were, and the seconds of all.
    _pauses: dict[str, tuple[int, float]] = field(default_factory=dict)

    def pause(self) -> None:
        """Leave out what has happened since the last step (sampling, saving) from the speed."""
        self._last = time.monotonic()

    @contextmanager
    def pausing(self, kind: str) -> Iterator[None]:
        """A pause of this kind; how long it takes counts for those to come."""
        started = time.monotonic()
        yield
        self.pause()
        count, seconds = self._pauses.get(kind, (0, 0.0))
        self._pauses[kind] = count + 1, seconds + self._last - started

    def _count_pace(self, seconds: float) -> None:
        """The weighted mean of the steps' seconds; a process's first one, which compiles, goes with the second."""
        if self._pace is None:
            self._pace = seconds
            return
        self._timed += 1
        self._pace += (seconds - self._pace) * 0.1 / (1 - 0.9**self._timed)

    def fields(self, step: int, result: StepResult) -> dict[str, Any]:
        """Fields of the `step` event after optimizer step `step` (1-based). Times in seconds, memory in GiB.

        Memory is torch's peak allocation on the GPU, or the process's resident memory without one.
        """
        now = time.monotonic()
        seconds, self._last = now - self._last, now
        self._count_pace(seconds)
        left = self.occasions_left(step)
        pauses = sum(left.get(kind, 0) * spent / count for kind, (count, spent) in self._pauses.items())
        before = result.loss if self.smoothed is None else self.smoothed
        # The weighted mean of all losses so far (Adam's bias correction): a plain moving average would hang on the
        # first loss, the highest, for the first hundred steps.
        self.smoothed = before + (result.loss - before) * (1 - SMOOTHING) / (1 - SMOOTHING**step)
        return {
            "loss": result.loss,
            "loss_smoothed": self.smoothed,
            "lr": result.lr,
            "grad_norm": result.grad_norm,
            "images_per_second": result.images / max(seconds, 1e-9),
            "seconds_per_step": seconds,
            "memory_gib": (peak_bytes(self.device) or resident_bytes()) / GIB,
            "eta_seconds": (self._pace or seconds) * (self.total_steps - step) + pauses,
        }
