"""The loss on held-out images, comparable from step to step: fixed noise, a fixed grid of timesteps, plain captions.

The loss of flow matching depends far more on t than on what was learnt, so a random t would drown the difference.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from trainer_core.contracts.checkpoints import best_checkpoint, step_of
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.contracts.run_names import export_step
from trainer_core.contracts.rundir import RunDir
from trainer_core.dataset.order import keyed_seed
from trainer_core.training.cache import key_of
from trainer_core.training.distributed import World
from trainer_core.training.features import FeatureStore, Sample
from trainer_core.training.flow import interpolate, velocity_loss

BANDS = 4
TIMES_PER_BAND = 2
TIMES = tuple((place + 0.5) / (BANDS * TIMES_PER_BAND) for place in range(BANDS * TIMES_PER_BAND))


@dataclass(frozen=True, kw_only=True)
class ValidationResult:
    """Mean loss over all images and timesteps, and by band of t ("0.00-0.25" is nearest to noise)."""

    loss: float
    bands: Mapping[str, float]
    images: int

    @property
    def recorded_loss(self) -> float | None:
        """As files keep it: JSON has no NaN and no infinity (fp16 may overflow); the best is never one of these."""
        return _finite(self.loss)


class Validator:
    """Measures the held-out `samples`; nothing it does is seen by training."""

    def __init__(self, config: TrainConfig, samples: Sequence[Sample], store: FeatureStore, world: World) -> None:
        self._config = config
        self._samples = samples
        self._store = store
        self._world = world

    @property
    def active(self) -> bool:
        return bool(self._samples)

    @property
    def held_out(self) -> str | None:
        """Identifies all that two losses must share to be compared: images, texts and noise; None without images."""
        if not self.active:
            return None
        config = self._config
        images = [
            [str(s.item.relative), s.image_hash, s.bucket, self._store.training_text(s.item.caption)]
            for s in self._samples
        ]
        limits = config.max_gemma_tokens, config.max_jina_tokens
        return key_of(held_out=images, seed=config.seed, times=TIMES, limits=limits)

    @torch.no_grad()
    def measure(self, model: nn.Module, tell: Callable[[int, int], None]) -> ValidationResult:
        """Every process measures its share; all get the same result, whatever their number.

        tell: hears before each image how many of how many this process has measured.
        """
        model.eval()
        world = self._world
        mine = []
        share = self._samples[world.rank :: world.size]
        for done, sample in enumerate(share):
            tell(done, len(share))
            mine.append(self._losses(model, sample))
        shares = world.gather(mine)
        rows = [shares[i % world.size][i // world.size] for i in range(len(self._samples))]
        by_time = [sum(column) / len(rows) for column in zip(*rows, strict=True)]
        bands = {
            f"{band / BANDS:.2f}-{(band + 1) / BANDS:.2f}": sum(part) / TIMES_PER_BAND
            for band, part in enumerate(zip(*[iter(by_time)] * TIMES_PER_BAND, strict=True))
        }
        return ValidationResult(loss=sum(by_time) / len(by_time), bands=bands, images=len(rows))

    def _losses(self, model: nn.Module, sample: Sample) -> list[float]:
        """One loss for each of TIMES."""
        device = self._world.accelerator.device
        data = self._store.latents(sample)
        key = (self._config.seed, "validation", str(sample.item.relative))
        noise = [
            torch.randn(data.shape, generator=torch.Generator().manual_seed(keyed_seed(*key, place)))
            for place in range(len(TIMES))
        ]
        text = self._store.text(*sample.texts[0])
        feats, pooled = text.cap_feats.float()[None].to(device), text.pooled.float()[None].to(device)
        losses: list[float] = []
        size = self._config.images_at_once
        for start in range(0, len(TIMES), size):
            t = torch.tensor(TIMES[start : start + size], device=device)
            clean = data.expand(len(t), *data.shape).to(device)
            noisy = torch.stack(noise[start : start + size]).to(device)
            with self._world.accelerator.autocast():
                velocity = model(
                    interpolate(clean, noisy, t),
                    t,
                    feats.expand(len(t), -1, -1),
                    (feats.shape[1],) * len(t),
                    pooled.expand(len(t), -1),
                )
            losses += velocity_loss(velocity, clean, noisy).tolist()
        return losses


def record_validation(run: RunDir, step: int, result: ValidationResult, held_out: str | None) -> None:
    """Add a measurement to the run's validation.json; one of the same step goes."""
    record = run.read_validation()
    earlier = [entry for entry in record.get("measured", []) if entry["step"] < step]
    bands = {band: _finite(loss) for band, loss in result.bands.items()}
    entry = {
        "step": step, "loss": result.recorded_loss, "bands": bands, "images": result.images, "held_out": held_out,
    }  # fmt: skip
    write_json_atomic(run.validation_file, {**record, "measured": [*earlier, entry]})


def forget_measured_after(run: RunDir, step: int) -> None:
    """Drop from validation.json what an earlier life measured beyond `step`; -1 drops all."""
    record = run.read_validation()
    if not record:
        return
    kept = {**record, "measured": [entry for entry in record.get("measured", []) if entry["step"] <= step]}
    if (run.best_step() or 0) > step:
        kept.pop("best", None)
    if kept != record:
        write_json_atomic(run.validation_file, kept)


def mark_best(run: RunDir) -> int | None:
    """Name the best checkpoint and its export in validation.json; returns its step."""
    best = best_checkpoint(run.checkpoints)
    if best is None:
        return None
    step = step_of(best)
    record = run.read_validation()
    losses = {entry["step"]: entry["loss"] for entry in record.get("measured", [])}
    exports = sorted(path.name for path in run.exports.glob("*.safetensors") if export_step(path.name) == step)
    found = {"step": step, "loss": losses.get(step), "checkpoint": best.name, "export": exports[0] if exports else None}
    write_json_atomic(run.validation_file, {**record, "best": found})
    return step


def _finite(loss: float) -> float | None:
    return loss if math.isfinite(loss) else None
