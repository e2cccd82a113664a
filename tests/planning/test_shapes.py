"""Sizes of the transformer against the released model's known figures and the real module."""

import pytest
import torch

from trainer_core.contracts.errors import UserError
from trainer_core.model.nextdit import NextDiT
from trainer_core.planning.shapes import Dimensions, linears, matching, parameter_count, read_dimensions
from trainer_core.training.adapters import matching_modules

CONFIG = {
    "patch_size": 2,
    "in_channels": 4,
    "dim": 24,
    "n_layers": 2,
    "n_refiner_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 1,
    "axes_dims": [4, 4, 4],
    "axes_lens": [32, 16, 16],
    "cap_feat_dim": 12,
    "clip_text_dim": 10,
}
DEFAULT = ("attention.qkv", "attention.out", "feed_forward.w2", "time_text_embed.1", "clip_text_pooled_proj.1")
FEED_FORWARD = ("attention.qkv", "attention.out", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
FULL = (*DEFAULT, "feed_forward.w1", "feed_forward.w3", "adaLN_modulation.1", "cap_embedder.1")


def meta_model(**changes: object) -> NextDiT:
    with torch.device("meta"):
        return NextDiT(**{**CONFIG, **changes})  # type: ignore[arg-type]


def shapes_of(model: NextDiT) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in model.state_dict().items()}


def test_the_released_model_has_its_known_size():
    assert parameter_count(Dimensions()) == 3_486_636_096
    assert len(linears(Dimensions())) == 246


@pytest.mark.parametrize(
    ("targets", "modules", "each"), [(DEFAULT, 122, 896_000), (FEED_FORWARD, 200, 1_812_480), (FULL, 242, 2_214_912)]
)
def test_lora_parameters_of_the_known_target_lists(targets: tuple[str, ...], modules: int, each: int):
    found = matching(Dimensions(), targets)
    assert len(found.layers) == modules
    assert found.parameters(32) == 32 * each == sum(found.tensor_sizes(32))


@pytest.mark.parametrize("changes", [{}, {"qk_norm": False}, {"n_refiner_layers": 2, "dim": 48, "n_heads": 4}])
def test_dimensions_are_read_from_tensor_shapes_and_count_the_real_modules(changes: dict[str, object]):
    model = meta_model(**changes)
    stored = {f"model.diffusion_model.{name}": shape for name, shape in shapes_of(model).items()}
    # No number of a layer, though Python calls ² a digit.
    stored["model.diffusion_model.layers.².weight"] = (1,)
    dims = read_dimensions({"axes_dims": CONFIG["axes_dims"]}, stored)
    assert dims is not None
    assert parameter_count(dims) == sum(p.numel() for p in model.parameters())
    real = {name: m.weight.shape for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    assert {layer.name: (layer.outputs, layer.inputs) for layer in linears(dims)} == real


@pytest.mark.parametrize(
    "targets", [DEFAULT, ("qkv",), ("1",), ("layers.0.attention.out",), ("attention",), ("mlp.0",)]
)
def test_targets_match_as_training_matches_them(targets: tuple[str, ...]):
    model = meta_model()
    dims = read_dimensions(CONFIG, shapes_of(model))
    assert dims is not None
    found = matching(dims, targets)
    try:
        assert found.names == set(matching_modules(model, targets))
        assert not found.unmatched
    except UserError:
        assert found.unmatched == targets


@pytest.mark.parametrize(
    ("config", "shapes"),
    [
        ({}, {}),
        ({"dim": "wide", "patch_size": 2, "in_channels": 4, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1}, {}),
        ({}, {"x_embedder.weight": (8,), "layers.0.attention.qkv.weight": (8, 8)}),
        ({**CONFIG, "n_layers": 10**12}, {}),
        ({**CONFIG, "n_heads": 0}, {}),
        ({**CONFIG, "n_kv_heads": True}, {}),
        ({"dim": 10, "patch_size": 2, "in_channels": 4, "n_layers": 1, "n_heads": 3, "n_kv_heads": 1}, {}),
    ],
)
def test_what_is_not_understood_is_none(config: dict[str, object], shapes: dict[str, tuple[int, ...]]):
    assert read_dimensions(config, shapes) is None
