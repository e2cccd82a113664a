"""Aspect buckets: their shapes, and which image goes where."""

import math

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.dataset.buckets import BucketPlan

RESOLUTIONS = (64, 128, 512, 1024, 2048)


def plan_of(resolution: int, **options: object) -> BucketPlan:
    values = {"base_model_path": "base", "train_data_dir": "data", "resolution": resolution, **options}
    return BucketPlan.from_config(TrainConfig(**values))  # type: ignore[arg-type]


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_every_bucket_has_the_area_the_step_and_the_aspect(resolution: int) -> None:
    step = 64 if resolution >= 512 else 16
    for width, height in plan_of(resolution).buckets:
        assert width % step == height % step == 0
        assert 0.7 * resolution**2 <= width * height <= resolution**2
        assert max(width, height) <= 4 * min(width, height)
        assert resolution // 2 <= min(width, height) and max(width, height) <= 2 * resolution


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_there_is_a_square_and_every_bucket_has_its_turned_twin(resolution: int) -> None:
    buckets = plan_of(resolution).buckets
    assert (resolution, resolution) in buckets
    assert {(height, width) for width, height in buckets} == set(buckets)
    assert len(buckets) >= 5


def test_an_own_step_and_own_limits_are_kept() -> None:
    buckets = plan_of(1024, bucket_reso_step=32, min_bucket_reso=768, max_bucket_reso=1344).buckets
    assert all(768 <= side <= 1344 and side % 32 == 0 for size in buckets for side in size)
    assert any(side % 64 for size in buckets for side in size)


def test_sides_are_multiples_of_16_whatever_the_resolution() -> None:
    for resolution in (80, 112, 528, 1008):
        assert all(side % 16 == 0 for size in plan_of(resolution).buckets for side in size)


@pytest.mark.parametrize("size", [(3000, 2000), (2000, 3000), (4000, 1000), (9000, 1000), (2048, 2047), (1600, 1200)])
def test_a_large_image_goes_to_the_nearest_log_ratio(size: tuple[int, int]) -> None:
    plan = plan_of(1024)
    apart = {bucket: abs(math.log(bucket[0] / bucket[1]) - math.log(size[0] / size[1])) for bucket in plan.buckets}
    assert apart[plan.assign(*size).bucket] == pytest.approx(min(apart.values()))


def test_scale_and_crop_loss_are_those_of_the_cover_resize() -> None:
    assignment = plan_of(1024, enable_bucket=False).assign(2048, 3072)
    assert assignment.bucket == (1024, 1024)
    assert assignment.scale == 0.5
    assert assignment.crop_loss == pytest.approx(1 / 3)
    assert plan_of(1024).assign(2048, 2048).crop_loss == 0.0


@pytest.mark.parametrize("size", [(700, 700), (300, 500), (100, 390), (970, 1024), (64, 64), (70, 1000), (1500, 200)])
def test_a_small_image_is_not_enlarged(size: tuple[int, int]) -> None:
    width, height = plan_of(1024).assign(*size).bucket
    assert width <= size[0] and height <= size[1]
    assert width % 64 == height % 64 == 0
    assert max(width, height) <= 4 * min(width, height)


def test_a_small_image_fills_the_largest_bucket_of_its_shape() -> None:
    plan = plan_of(1024)
    assert plan.assign(700, 700).bucket == (640, 640)
    assert plan.assign(200, 400).bucket == (192, 384)
    assert plan.assign(400, 200).bucket == (384, 192)
    assert plan.assign(40, 40).bucket == (64, 64)  # below one step nothing is left but enlarging


def test_upscaling_is_done_when_asked_for() -> None:
    assignment = plan_of(1024, bucket_upscale=True).assign(256, 256)
    assert assignment.bucket == (1024, 1024)
    assert assignment.scale == 4.0


@pytest.mark.parametrize("size", [(3000, 1000), (1000, 3000), (600, 5000), (1000, 1000)])
def test_without_buckets_everything_is_square(size: tuple[int, int]) -> None:
    width, height = plan_of(1000 // 16 * 16, enable_bucket=False).assign(*size).bucket
    assert width == height
    assert width % 16 == 0
