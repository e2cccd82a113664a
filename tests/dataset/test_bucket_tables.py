"""Aspect buckets, by hand-checked tables: which sizes exist, and which image goes where."""

import itertools
from dataclasses import replace

import pytest

from trainer_core.contracts.config import parse_config
from trainer_core.dataset.buckets import BucketPlan, Size

CONFIG = parse_config({"base_model_path": "base", "train_data_dir": "data"})


def plan_of(resolution: int, **options: int | bool) -> BucketPlan:
    return BucketPlan.from_config(replace(CONFIG, resolution=resolution, **options))


def test_every_resolution_has_full_buckets():
    for resolution in range(64, 2049, 16):
        step = 64 if resolution >= 512 else 16
        buckets = plan_of(resolution).buckets
        square = (resolution // step * step,) * 2
        assert square in buckets
        for width, height in set(buckets) - {square}:
            # Nothing above the area, and at one of the two sides no room for one more step.
            assert width * height <= resolution**2 < max((width + step) * height, width * (height + step))
            assert width % step == height % step == 0 and (height, width) in buckets


def test_the_table_at_128():
    lying = [size for size in plan_of(128).buckets if size[0] >= size[1]]
    short_sides = [(128, 128), (144, 112), (160, 96), (192, 80), (256, 64)]
    long_sides = [(176, 80), (208, 64), (224, 64), (240, 64)]
    assert lying == sorted(short_sides + long_sides)


def test_limits_leave_buckets_out_instead_of_cutting_their_area():
    buckets = plan_of(1024, min_bucket_reso=640, max_bucket_reso=1600, bucket_reso_step=32).buckets
    assert min(map(min, buckets)) == 640 and max(map(max, buckets)) == 1600
    assert all(width * height >= 0.9 * 1024**2 for width, height in buckets)
    assert plan_of(1024, max_bucket_reso=1024).buckets == ((1024, 1024),)


def test_limits_between_two_steps_leave_a_square():
    assert plan_of(1040, min_bucket_reso=1040, max_bucket_reso=1040).buckets == ((1024, 1024),)


@pytest.mark.parametrize(
    ("image", "bucket"),
    [
        ((2000, 2000), (1024, 1024)),
        ((1920, 1080), (1344, 768)),
        ((1080, 1920), (768, 1344)),
        ((3000, 2000), (1216, 832)),
        ((4096, 1024), (2048, 512)),
        ((9000, 900), (2048, 512)),
    ],
)
def test_large_images_at_1024(image: Size, bucket: Size):
    assert plan_of(1024).assign(*image).bucket == bucket


def test_distance_is_measured_by_log_ratio():
    # Between 1 : 1 and 3 : 1 the middle is 2 by ratio, but 1.73 by its logarithm.
    plan = plan_of(512, bucket_reso_step=256)
    assert plan.buckets == ((256, 768), (256, 1024), (512, 512), (768, 256), (1024, 256))
    assert plan.assign(1800, 1000).bucket == (768, 256)
    assert plan.assign(1700, 1000).bucket == (512, 512)


@pytest.mark.parametrize(
    ("image", "bucket"),
    [
        ((500, 500), (448, 448)),
        ((500, 700), (448, 640)),
        ((700, 500), (640, 448)),
        ((200, 280), (192, 256)),
        ((450, 630), (448, 576)),
        ((970, 1024), (960, 1024)),
        ((3000, 300), (1024, 256)),
        ((40, 300), (64, 256)),
        ((1, 1), (64, 64)),
    ],
)
def test_small_images_at_1024(image: Size, bucket: Size):
    assert plan_of(1024).assign(*image).bucket == bucket


@pytest.mark.parametrize(
    ("image", "bucket"),
    [
        ((1000, 1000), (1024, 1024)),
        ((1023, 1024), (1024, 1024)),
        ((1330, 740), (1344, 768)),
        ((976, 976), (1024, 1024)),
        ((975, 975), (960, 960)),
    ],
)
def test_an_image_that_lacks_up_to_5_percent_of_a_side_is_enlarged(image: Size, bucket: Size):
    assert plan_of(1024).assign(*image).bucket == bucket
    assert plan_of(1024).assign(*image[::-1]).bucket == bucket[::-1]


def test_only_images_below_one_step_are_enlarged_much_unasked():
    plan = plan_of(512, max_bucket_reso=768)
    for width, height in itertools.product(range(16, 1200, 53), repeat=2):
        found = plan.assign(width, height)
        assert found.scale <= 1.05 or min(width, height) < 64
        assert all(side % 64 == 0 and side <= 768 for side in found.bucket)
        assert found.bucket[0] * found.bucket[1] <= 512**2 and max(found.bucket) <= 4 * min(found.bucket)
        assert plan.assign(height, width).bucket == found.bucket[::-1]


def test_without_buckets_the_square_has_the_very_resolution():
    plan = plan_of(1040, enable_bucket=False)
    assert plan.buckets == ((1040, 1040),)
    assert plan.assign(3000, 500).bucket == (496, 496)
    assert plan_of(64, enable_bucket=False, bucket_reso_step=256).assign(100, 90).bucket == (64, 64)


@pytest.mark.parametrize(("image", "loss"), [((2048, 2048), 0.0), ((1000, 250), 0.0), ((1000, 100), 0.6)])
def test_crop_loss_is_the_share_of_area_cut_away(image: Size, loss: float):
    found = plan_of(64).assign(*image)
    width, height = (side / found.scale for side in found.bucket)
    assert found.crop_loss == pytest.approx(1 - width * height / (image[0] * image[1])) == pytest.approx(loss)
