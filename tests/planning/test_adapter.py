"""The shapes of adapters: LoKr divides a layer as LyCORIS does."""

import pytest

from trainer_core.planning.adapter import LokrShape, LoraShape

# What LyCORIS's `factorization` gives: side -> the small factor, by `factor`; its -1 is 0 here.
LYCORIS = {
    127: {0: 1, 2: 1, 4: 1, 8: 1, 16: 1},
    128: {0: 8, 2: 2, 4: 4, 8: 8, 16: 8},
    250: {0: 10, 2: 2, 4: 2, 8: 5, 16: 10},
    360: {0: 18, 2: 2, 4: 4, 8: 8, 16: 15},
    512: {0: 16, 2: 2, 4: 4, 8: 8, 16: 16},
    1024: {0: 32, 2: 2, 4: 4, 8: 8, 16: 16},
}


@pytest.mark.parametrize(("side", "factor"), [(side, factor) for side, row in LYCORIS.items() for factor in row])
def test_a_side_is_divided_as_lycoris_divides_it(side: int, factor: int):
    small = LYCORIS[side][factor]
    shapes = LokrShape(factor=factor).of(side, side)
    assert shapes == {"lokr_w1": (small, small), "lokr_w2": (side // small, side // small)}


def test_the_released_models_layer_by_the_upstream_trainers_settings():
    """lokr.toml: factor 8, rank 114514, which keeps every factor whole; a real qkv is [3840, 2304]."""
    whole = {"lokr_w1": (8, 8), "lokr_w2": (480, 288)}
    assert LokrShape(factor=8, rank=114514).of(3840, 2304) == LokrShape(factor=8).of(3840, 2304) == whole
    assert LokrShape(factor=8, rank=240).of(3840, 2304) == whole
    halves = {"lokr_w1": (8, 8), "lokr_w2_a": (480, 239), "lokr_w2_b": (239, 288)}
    assert LokrShape(factor=8, rank=239).of(3840, 2304) == halves
    assert LoraShape(rank=32).of(3840, 2304) == {"lora_A": (32, 2304), "lora_B": (3840, 32)}
