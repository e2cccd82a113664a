"""The transformer's sizes: from config.json where there is one, else from the tensors, which must agree."""

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer_core.contracts.errors import UserError
from trainer_core.planning.headers import read_config
from trainer_core.planning.shapes import Dimensions
from trainer_core.planning.tensor_shapes import ShapeSource, count_of, length_of, mismatch

WHAT = "NextDiT transformer"
REQUIRED_KEYS = (
    "patch_size",
    "in_channels",
    "dim",
    "n_layers",
    "n_heads",
    "n_kv_heads",
    "axes_dims",
    "axes_lens",
)
# No tensor states its patch size and axes: they are taken as released.
RELEASED = Dimensions()
# What diffusers' Lumina2Transformer2DModel calls the same things.
DIFFUSERS_KEYS = MappingProxyType(
    {
        "patch_size": "patch_size",
        "in_channels": "in_channels",
        "hidden_size": "dim",
        "num_layers": "n_layers",
        "num_refiner_layers": "n_refiner_layers",
        "num_attention_heads": "n_heads",
        "num_kv_heads": "n_kv_heads",
        "axes_dim_rope": "axes_dims",
        "cap_feat_dim": "cap_feat_dim",
        "pooled_projection_dim": "clip_text_dim",
    }
)
DIFFUSERS_CLASSES = ("Lumina2Transformer2DModel", "NewbieTransformer2DModel")


def read_dimensions(path: Path, source: ShapeSource) -> Dimensions:
    """Of the transformer at `path` (a folder or a file), whose tensors `source` has under their official names.

    Raises UserError: "config_unreadable", "config_mismatch" (config.json and tensors disagree), "weights_mismatch".
    """
    found = inferred(source)
    file, stated = _stated(path)
    if file is None:
        absent = [key for key in REQUIRED_KEYS if key not in found]
        if absent:
            raise UserError(
                "config_unreadable",
                f"{path} has no config.json, and its tensors do not tell {', '.join(absent)}.",
                ["Put the transformer's own config.json beside the weights."],
            )
        return Dimensions(**found)
    dims = Dimensions(**(found | stated))
    if dims.n_heads * sum(dims.axes_dims) != dims.dim:
        heads = dims.n_heads * sum(dims.axes_dims)
        raise UserError(
            "config_unreadable",
            f"{file} contradicts itself: dim {dims.dim} is not n_heads x the sum of axes_dims, {heads}.",
        )
    _refuse_contradiction(file, stated, found)
    return dims


def inferred(source: ShapeSource) -> dict[str, Any]:
    """What the tensors (official names) tell; a key that they leave open is absent.

    Raises UserError("weights_mismatch") where a tensor is missing without which nothing can be told.
    """
    names = set(source.names())
    needed = ("x_embedder.weight", "layers.0.attention.qkv.weight", "layers.0.attention.out.weight")
    flat = [f"{name} {list(source.shape(name))}" for name in needed if name in names and len(source.shape(name)) != 2]
    if flat:
        raise mismatch(WHAT, source.location, misshapen=flat)
    dim = min(length_of(source, name, WHAT) for name in needed[::2])
    found: dict[str, Any] = {
        "patch_size": RELEASED.patch_size,
        "in_channels": source.shape("x_embedder.weight")[1] // RELEASED.patch_size**2,
        "dim": dim,
        "n_layers": count_of(source, r"layers\.(\d+)\.", WHAT),
        "n_refiner_layers": count_of(source, r"noise_refiner\.(\d+)\.", WHAT),
        "axes_lens": RELEASED.axes_lens,
        "qk_norm": "layers.0.attention.q_norm.weight" in names,
    }
    widths = {"cap_feat_dim": "cap_embedder.0.weight", "clip_text_dim": "clip_text_pooled_proj.0.weight"}
    found |= {key: length_of(source, name, WHAT) for key, name in widths.items() if name in names}
    if found["qk_norm"]:
        found |= _heads(source, dim)
    return found


def _heads(source: ShapeSource, dim: int) -> dict[str, Any]:
    norm, qkv = "layers.0.attention.q_norm.weight", "layers.0.attention.qkv.weight"
    head, rows = length_of(source, norm, WHAT), length_of(source, qkv, WHAT)
    if dim % head or rows <= dim or (rows - dim) % (2 * head):
        shapes = [f"{name} {list(source.shape(name))}" for name in (norm, qkv)]
        raise mismatch(WHAT, source.location, misshapen=shapes)
    heads: dict[str, Any] = {"n_heads": dim // head, "n_kv_heads": (rows - dim) // (2 * head)}
    # Rotation turns pairs, so each of three equal axes has to be even.
    if head % 6 == 0:
        heads["axes_dims"] = (head // 3,) * 3
    return heads


def _stated(path: Path) -> tuple[Path | None, dict[str, Any]]:
    """The config.json that belongs to `path` and what it says in official keys.

    Beside a single file there may lie a config.json of something else: only one that is a transformer's counts.
    """
    folder = path if path.is_dir() else path.parent
    if not (folder / "config.json").is_file() and (folder / "transformer" / "config.json").is_file():
        folder = folder / "transformer"
    file = folder / "config.json"
    if not file.is_file():
        return None, {}
    config = read_config(folder)
    kind = str(config.get("_class_name", ""))
    if kind in DIFFUSERS_CLASSES or "num_attention_heads" in config and "axes_dim_rope" in config:
        return file, _checked(
            file, {ours: config[theirs] for theirs, ours in DIFFUSERS_KEYS.items() if theirs in config}
        )
    absent = [key for key in REQUIRED_KEYS if key not in config]
    known = config.get("model_type") == "nextdit_clip" or "NextDiT" in kind
    if absent and not known:
        if path.is_file():
            return None, {}
        raise UserError(
            "config_unreadable",
            f"{file} is not a NextDiT config: it lacks {', '.join(absent)}.",
            ["Use the config.json of the official transformer folder."],
        )
    keys = (*REQUIRED_KEYS, "n_refiner_layers", "qk_norm", "cap_feat_dim", "clip_text_dim")
    return file, _checked(file, {key: config[key] for key in keys if key in config})


def _checked(file: Path, values: dict[str, Any]) -> dict[str, Any]:
    """Raises UserError("config_unreadable") for a value that is no number, or no three numbers."""
    for key, value in values.items():
        if key == "qk_norm":
            good, wanted = isinstance(value, bool), "true or false"
        elif key in ("axes_dims", "axes_lens"):
            good = isinstance(value, list) and len(value) == 3 and all(type(v) is int and v > 0 for v in value)
            good = good and (key == "axes_lens" or all(v % 2 == 0 for v in value))
            wanted = "three whole numbers" + (", all even" if key == "axes_dims" else "")
        else:
            good, wanted = type(value) is int and value > 0, "a whole number above 0"
        if not good:
            raise UserError("config_unreadable", f"{file}: {key} = {json.dumps(value)} is not {wanted}.")
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


def _refuse_contradiction(file: Path, stated: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Only what tensors really tell is compared: their patch size and axes are known for the released model only."""
    told = {key: found[key] for key in found if key not in ("patch_size", "axes_lens", "axes_dims", "in_channels")}
    patch = stated.get("patch_size", RELEASED.patch_size)
    told["in_channels"] = found["in_channels"] * RELEASED.patch_size**2 // patch**2
    wrong = [
        f"{key} is {json.dumps(stated[key])} in config.json and {json.dumps(told[key])} in the weights"
        for key in stated
        if key in told and stated[key] != told[key]
    ]
    if wrong:
        raise UserError(
            "config_mismatch",
            f"{file} does not belong to its weights: {'; '.join(wrong)}.",
            ["Put the config.json that came with these weights beside them."],
        )
