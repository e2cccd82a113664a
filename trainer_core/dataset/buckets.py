"""Aspect buckets of constant area. Sizes are (width, height) in pixels, multiples of the step and of 16."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from trainer_core.contracts.config import TrainConfig

MAX_ASPECT = 4.0
GRAIN = 16
Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Where an image goes: its bucket, the scale applied (> 1 enlarges), and the share of its area cropped away."""

    bucket: Size
    scale: float
    crop_loss: float


def automatic_step(resolution: int) -> int:
    """64, and 16 for resolutions below 512, where 64 would leave only a few shapes."""
    return 64 if resolution >= 512 else GRAIN


def _shapes(area: int, step: int, least: int, most: int) -> list[Size]:
    """For each width the tallest height whose area fits, and the same turned; aspect up to 4 : 1."""
    found: set[Size] = set()
    for width in range(math.ceil(least / step) * step, most + 1, step):
        height = min(most, area // width // step * step)
        if height >= least and max(width, height) <= MAX_ASPECT * min(width, height):
            found |= {(width, height), (height, width)}
    return sorted(found)


class BucketPlan:
    """The buckets of a run and the rule that assigns images to them."""

    def __init__(
        self,
        resolution: int,
        *,
        step: int,
        smallest: int,
        largest: int,
        enabled: bool = True,
        upscale: bool = False,
    ) -> None:
        self._resolution = resolution
        self._step = step
        self._enabled = enabled
        self._upscale = upscale
        square = (resolution, resolution)
        shapes = _shapes(resolution**2, step, smallest, largest) if enabled else []
        # The square is always there, also where the step does not divide the resolution.
        self.buckets: tuple[Size, ...] = tuple(sorted({*shapes, square}))

    @classmethod
    def from_config(cls, config: TrainConfig) -> Self:
        """0 in the config means automatic: step by resolution, sides from half to twice the resolution."""
        resolution = config.resolution
        step = config.bucket_reso_step or automatic_step(resolution)
        return cls(
            resolution,
            step=step,
            smallest=config.min_bucket_reso or max(GRAIN, resolution // 2),
            largest=config.max_bucket_reso or resolution * 2,
            enabled=config.enable_bucket,
            upscale=config.bucket_upscale,
        )

    def assign(self, width: int, height: int) -> Assignment:
        """The bucket nearest in log aspect ratio. An image too small to fill it gets the largest bucket of that
        shape that it fills (never below one step a side), unless upscaling was asked for.
        """
        aspect = math.log(width / height)
        bucket = min(
            self.buckets,
            key=lambda size: (abs(math.log(size[0] / size[1]) - aspect), -size[0] * size[1], size),
        )
        if not self._upscale and (width < bucket[0] or height < bucket[1]):
            bucket = self._filled_by(width, height, bucket)
        scale = max(bucket[0] / width, bucket[1] / height)
        kept = bucket[0] * bucket[1] / (width * scale * height * scale)
        return Assignment(bucket=bucket, scale=scale, crop_loss=max(0.0, 1.0 - kept))

    def _filled_by(self, width: int, height: int, bucket: Size) -> Size:
        """The short side is as long as fits; the long one follows the bucket's shape, so 4 : 1 stays the limit."""
        step = self._step if self._enabled else GRAIN
        shrink = min(width / bucket[0], height / bucket[1])
        room = [max(step, int(side * shrink + 1e-9) // step * step) for side in bucket]
        short = min(room)
        long = min(max(room), round(short * max(bucket) / min(bucket) / step) * step)
        return (short, long) if bucket[0] < bucket[1] else (long, short)

    def report(self, sizes: Iterable[tuple[str, int, int]]) -> list[tuple[str, Assignment]]:
        """(name, assignment) of each (name, width, height)."""
        return [(name, self.assign(width, height)) for name, width, height in sizes]
