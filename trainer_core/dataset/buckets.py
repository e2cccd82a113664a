"""Aspect buckets of constant area. Sizes are (width, height) in pixels, multiples of the step and so of 16."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import Bucket

MAX_ASPECT = 4
GRAIN = 16
# Blurs less than leaving out a whole step of 64 px loses: 1000 x 1000 becomes 1024 x 1024, not 960 x 960.
SLIGHT_ENLARGEMENT = 1.05
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


def _shapes(area: int, step: int, least: int, most: int) -> set[Size]:
    """Each height with the widest width whose area fits, and the same turned; aspect up to 4 : 1.

    A pair that the limits would make narrower is left out, not cut: its area would not be the constant one.
    """
    found: set[Size] = set()
    for height in range(math.ceil(least / step) * step, most + 1, step):
        width = area // height // step * step
        if least <= width <= most and max(width, height) <= MAX_ASPECT * min(width, height):
            found |= {(width, height), (height, width)}
    return found


class BucketPlan:
    """The buckets of a run and the rule that assigns images to them.

    Args:
        resolution: side of the square whose area every bucket comes close to and none exceeds.
        step: sides are multiples of it; itself a multiple of 16, at most ``resolution``.
        smallest, largest: limits of a side. Images too small for any bucket may get smaller ones.
        enabled: False leaves one square bucket of exactly ``resolution``.
        upscale: enlarge small images into a full bucket, also by more than ``SLIGHT_ENLARGEMENT``.
    """

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
        assert step % GRAIN == 0 and resolution % GRAIN == 0 and 0 < step <= resolution, (step, resolution)
        self._area = resolution**2
        self._step = step
        self._largest = largest
        self._enabled = enabled
        self._upscale = upscale
        # There is always a square: the commonest shape, also where the step does not divide the resolution.
        side = resolution // step * step if enabled else resolution
        shapes = _shapes(self._area, step, smallest, largest) if enabled else set()
        self.buckets: tuple[Size, ...] = tuple(sorted({*shapes, (side, side)}))
        # Assigning looks at lying images only, so that a turned image gets the turned bucket also in a tie.
        self._lying = tuple(size for size in self.buckets if size[0] >= size[1])

    @classmethod
    def from_config(cls, config: TrainConfig) -> Self:
        """0 in the config means automatic: step by resolution, sides from half to twice the resolution."""
        resolution = config.resolution
        # The config bounds the step by the resolution only where buckets are on.
        step = min(resolution, config.bucket_reso_step or automatic_step(resolution))
        return cls(
            resolution,
            step=step,
            smallest=config.min_bucket_reso or resolution // 2,
            largest=config.max_bucket_reso or resolution * 2,
            enabled=config.enable_bucket,
            upscale=config.bucket_upscale,
        )

    def assign(self, width: int, height: int) -> Assignment:
        """The bucket nearest in log aspect ratio, the larger one in a tie.

        An image that needs more than a slight enlargement to fill it gets, unless upscaling was asked for, the smaller
        size that it fills and that keeps most of its pixels. Only one with a side below one step is enlarged then, to
        one step.
        """
        long, short = max(width, height), min(width, height)
        bucket = min(self._lying, key=lambda size: (abs(math.log(size[0] * short / size[1] / long)), -size[0]))
        if not self._upscale and max(bucket[0] / long, bucket[1] / short) > SLIGHT_ENLARGEMENT:
            bucket = self._filled_by(long, short)
        bucket = bucket if width >= height else (bucket[1], bucket[0])
        scale = max(bucket[0] / width, bucket[1] / height)
        return Assignment(bucket=bucket, scale=scale, crop_loss=1.0 - _kept(width, height, bucket))

    def _filled_by(self, long: int, short: int) -> Size:
        """The largest size within a lying image, counting only what its crop keeps of the image."""
        step = self._step if self._enabled else GRAIN
        widest, tallest = max(1, min(long, self._largest) // step), max(1, short // step)
        if not self._enabled:
            return tallest * step, tallest * step
        candidates: list[Size] = []
        for high in range(1, tallest + 1):
            limit = min(widest, MAX_ASPECT * high, self._area // (high * step * step))
            # The image's own shape lies between these two; any wider one only crops more.
            shape = high * long // short
            for wide in {min(limit, shape), min(limit, shape + 1)}:
                if wide >= high:
                    candidates.append((wide * step, high * step))
        return max(candidates, key=lambda size: (size[0] * size[1] * _kept(long, short, size), size))


def _kept(width: int, height: int, bucket: Size) -> float:
    """Share of an image's area that a covering, centred crop to `bucket` keeps."""
    across, down = bucket[0] * height, bucket[1] * width
    return min(across, down) / max(across, down)


def filled_buckets(shown: Iterable[tuple[Size, int]]) -> tuple[Bucket, ...]:
    """The buckets that images fill, by width, then height; ``shown``: of each image its bucket and its repeats."""
    repeats: dict[Size, list[int]] = {}
    for size, count in shown:
        repeats.setdefault(size, []).append(count)
    return tuple(
        Bucket(width=size[0], height=size[1], images=len(counts), shown=sum(counts))
        for size, counts in sorted(repeats.items())
    )
