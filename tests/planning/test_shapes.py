"""Sizes of the transformer against the released model's known figures and the real module."""

import json
from pathlib import Path

import pytest
import torch

from trainer_core.contracts.errors import UserError
from trainer_core.model.nextdit import NextDiT
from trainer_core.planning.adapter import LoraShape
from trainer_core.planning.headers import StoredTensor
from trainer_core.planning.shapes import Dimensions, linears, matching, parameter_count
from trainer_core.planning.tensor_shapes import HeaderShapes, RenamedShapes
from trainer_core.planning.transformer_config import read_dimensions
from trainer_core.planning.transformer_names import official_parts
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


def dimensions_of(folder: Path, model: NextDiT, config: dict[str, object] | None, prefix: str = "") -> Dimensions:
    """As they are read from a folder with this model's weights and this config.json."""
    if config is not None:
        (folder / "config.json").write_text(json.dumps(config))
    header = {
        prefix + name: StoredTensor(dtype="F32", shape=tuple(value.shape), start=0, end=0)
        for name, value in model.state_dict().items()
    }
    # No number of a layer, though Python calls ² a digit.
    header[f"{prefix}layers.².weight"] = StoredTensor(dtype="F32", shape=(1,), start=0, end=0)
    parts, ones = official_parts(header, "a test")
    return read_dimensions(folder, RenamedShapes(HeaderShapes(header, folder), parts, ones))


def test_the_released_model_has_its_known_size():
    assert parameter_count(Dimensions()) == 3_486_636_096
    assert len(linears(Dimensions())) == 246


@pytest.mark.parametrize(
    ("targets", "modules", "each"), [(DEFAULT, 122, 896_000), (FEED_FORWARD, 200, 1_812_480), (FULL, 242, 2_214_912)]
)
def test_lora_parameters_of_the_known_target_lists(targets: tuple[str, ...], modules: int, each: int):
    found = matching(Dimensions(), targets)
    assert len(found.layers) == modules
    adapter = LoraShape(rank=32)
    assert found.parameters(adapter) == 32 * each == sum(found.tensor_sizes(adapter))


@pytest.mark.parametrize("changes", [{}, {"n_refiner_layers": 2, "dim": 48, "n_heads": 4}])
def test_dimensions_are_read_from_tensor_shapes_and_count_the_real_modules(changes: dict[str, object], tmp_path: Path):
    model = meta_model(**changes)
    dims = dimensions_of(tmp_path, model, None, "model.diffusion_model.")
    assert parameter_count(dims) == sum(p.numel() for p in model.parameters())
    real = {name: m.weight.shape for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)}
    assert {layer.name: (layer.outputs, layer.inputs) for layer in linears(dims)} == real


@pytest.mark.parametrize(
    "targets", [DEFAULT, ("qkv",), ("1",), ("layers.0.attention.out",), ("attention",), ("mlp.0",)]
)
def test_targets_match_as_training_matches_them(targets: tuple[str, ...], tmp_path: Path):
    model = meta_model()
    dims = dimensions_of(tmp_path, model, CONFIG)
    found = matching(dims, targets)
    try:
        assert found.names == set(matching_modules(model, targets))
        assert not found.unmatched
    except UserError:
        assert found.unmatched == targets


def test_without_norms_of_queries_and_keys_only_a_config_tells_the_heads(tmp_path: Path):
    model = meta_model(qk_norm=False)
    with pytest.raises(UserError, match="do not tell n_heads, n_kv_heads, axes_dims"):
        dimensions_of(tmp_path, model, None)
    dims = dimensions_of(tmp_path, model, {**CONFIG, "qk_norm": False})
    assert parameter_count(dims) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("change", [{"dim": "wide"}, {"n_layers": 10**12}, {"n_heads": 0}, {"n_kv_heads": True}])
def test_a_config_that_is_no_sizes_is_refused(change: dict[str, object], tmp_path: Path):
    with pytest.raises(UserError):
        dimensions_of(tmp_path, meta_model(), CONFIG | change)


def test_sizes_make_the_model_that_they_were_read_from(tmp_path: Path):
    dims = dimensions_of(tmp_path, meta_model(), CONFIG)
    with torch.device("meta"):
        again = NextDiT(**vars(dims))
    assert {name: value.shape for name, value in again.state_dict().items()} == {
        name: value.shape for name, value in meta_model().state_dict().items()
    }
