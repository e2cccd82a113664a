"""The transformer's dimensions, its modules and their parameters, and what LoRA targets hit: sizes without torch."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from trainer_core.planning.headers import Shapes

TIME_FREQUENCIES = 256
MODULATION_WIDTH = 1024
FFN_MULTIPLE = 256
# A stored name up to here is some program's prefix ("model.diffusion_model.", "module.").
_ANCHOR = re.compile(r"^(.*?)x_embedder\.weight$")


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """Of NextDiT; the defaults are the released model's. `heads` attend, `kv_heads` hold keys and values."""

    patch: int = 2
    channels: int = 16
    dim: int = 2304
    layers: int = 36
    refiners: int = 2
    heads: int = 24
    kv_heads: int = 8
    caption_dim: int = 2560
    pooled_dim: int = 1024
    qk_norm: bool = True

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads

    @property
    def hidden(self) -> int:
        """Width inside a feed-forward part."""
        return -(-4 * self.dim // FFN_MULTIPLE) * FFN_MULTIPLE

    @property
    def qkv(self) -> int:
        return (self.heads + 2 * self.kv_heads) * self.head_dim

    @property
    def modulation(self) -> int:
        return min(self.dim, MODULATION_WIDTH)

    @property
    def patch_values(self) -> int:
        return self.patch**2 * self.channels


@dataclass(frozen=True, kw_only=True)
class Linear:
    """One linear layer: its dotted name and weight [out, in]."""

    name: str
    inputs: int
    outputs: int
    bias: bool = False

    @property
    def parameters(self) -> int:
        return self.outputs * (self.inputs + self.bias)

    def lora_parameters(self, rank: int) -> int:
        return rank * (self.inputs + self.outputs)


def block_names(dims: Dimensions) -> list[tuple[str, bool]]:
    """(dotted name, modulated) of every block, in the order of a forward pass."""
    counts = (("context_refiner", dims.refiners), ("noise_refiner", dims.refiners), ("layers", dims.layers))
    return [(f"{group}.{n}", group != "context_refiner") for group, count in counts for n in range(count)]


def linears(dims: Dimensions) -> list[Linear]:
    """Every linear layer."""
    wide = dims.modulation
    found = [
        Linear(name="x_embedder", inputs=dims.patch_values, outputs=dims.dim, bias=True),
        Linear(name="t_embedder.mlp.0", inputs=TIME_FREQUENCIES, outputs=wide, bias=True),
        Linear(name="t_embedder.mlp.2", inputs=wide, outputs=wide, bias=True),
        Linear(name="cap_embedder.1", inputs=dims.caption_dim, outputs=dims.dim, bias=True),
        Linear(name="clip_text_pooled_proj.1", inputs=dims.pooled_dim, outputs=dims.pooled_dim, bias=True),
        Linear(name="time_text_embed.1", inputs=wide + dims.pooled_dim, outputs=wide, bias=True),
        Linear(name="final_layer.linear", inputs=dims.dim, outputs=dims.patch_values, bias=True),
        Linear(name="final_layer.adaLN_modulation.1", inputs=wide, outputs=dims.dim, bias=True),
    ]
    for name, modulated in block_names(dims):
        found += [
            Linear(name=f"{name}.attention.qkv", inputs=dims.dim, outputs=dims.qkv),
            Linear(name=f"{name}.attention.out", inputs=dims.dim, outputs=dims.dim),
            Linear(name=f"{name}.feed_forward.w1", inputs=dims.dim, outputs=dims.hidden),
            Linear(name=f"{name}.feed_forward.w2", inputs=dims.hidden, outputs=dims.dim),
            Linear(name=f"{name}.feed_forward.w3", inputs=dims.dim, outputs=dims.hidden),
        ]
        if modulated:
            found.append(Linear(name=f"{name}.adaLN_modulation.1", inputs=wide, outputs=4 * dims.dim, bias=True))
    return found


def norms(dims: Dimensions) -> list[int]:
    """Length of every norm's weight, one entry a tensor."""
    # The last one is norm_final: in the checkpoint, though never applied.
    return [dims.caption_dim, dims.pooled_dim, *block_norms(dims) * len(block_names(dims)), dims.dim]


def block_norms(dims: Dimensions) -> list[int]:
    """The same of one block."""
    return [dims.dim] * 4 + ([dims.head_dim] * 2 if dims.qk_norm else [])


def parameter_count(dims: Dimensions) -> int:
    return sum(layer.parameters for layer in linears(dims)) + sum(norms(dims))


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The linear layers that get LoRA, and the wanted endings that fit none."""

    layers: tuple[Linear, ...]
    unmatched: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(layer.name for layer in self.layers)

    def parameters(self, rank: int) -> int:
        return sum(layer.lora_parameters(rank) for layer in self.layers)

    def tensor_sizes(self, rank: int) -> list[int]:
        """Elements of each adapter tensor, A and B of every layer."""
        return [rank * side for layer in self.layers for side in (layer.inputs, layer.outputs)]


def matching(dims: Dimensions, targets: Sequence[str]) -> Targets:
    """Layers whose dotted name is a target or ends in one after a dot, as training matches them."""

    def hit(layer: Linear, target: str) -> bool:
        return layer.name == target or layer.name.endswith(f".{target}")

    every = linears(dims)
    return Targets(
        layers=tuple(layer for layer in every if any(hit(layer, target) for target in targets)),
        unmatched=tuple(t for t in targets if not any(hit(layer, t) for layer in every)),
    )


_CONFIG_KEYS = {
    "patch_size": "patch",
    "in_channels": "channels",
    "dim": "dim",
    "n_layers": "layers",
    "n_refiner_layers": "refiners",
    "n_heads": "heads",
    "n_kv_heads": "kv_heads",
    "cap_feat_dim": "caption_dim",
    "clip_text_dim": "pooled_dim",
}
_REQUIRED = ("patch_size", "in_channels", "dim", "n_layers", "n_heads", "n_kv_heads")
# Far beyond any model; a file that says more is broken, and counting its layers would take for ever.
_LARGEST = 65_536
_MOST_BLOCKS = 1000


def read_dimensions(config: Mapping[str, Any], shapes: Shapes) -> Dimensions | None:
    """From config.json where it states them, else from the tensors' shapes alone; None where neither tells."""
    stated = {ours: config[theirs] for theirs, ours in _CONFIG_KEYS.items() if theirs in config}
    found = _dimensions_of(_without_prefix(shapes), head_dim=_head_dim(config))
    if found is None and not all(key in config for key in _REQUIRED):
        return None
    known = {f.name: getattr(found, f.name) for f in fields(Dimensions)} if found else {}
    values = {**known, **stated}
    if not all(_is_sane(name, value) for name, value in values.items()):
        return None
    dims = Dimensions(**values)
    return dims if dims.dim % dims.heads == 0 else None


def _is_sane(name: str, value: object) -> bool:
    if name == "qk_norm":
        return isinstance(value, bool)
    most = _MOST_BLOCKS if name in ("layers", "refiners") else _LARGEST
    return type(value) is int and (0 if name == "refiners" else 1) <= value <= most


def _head_dim(config: Mapping[str, Any]) -> int:
    """For checkpoints without q/k norms, whose shapes do not tell it."""
    axes = config.get("axes_dims")
    return sum(axes) if isinstance(axes, list) and all(type(a) is int for a in axes) else 96


def _without_prefix(shapes: Shapes) -> Shapes:
    match = next((m for m in map(_ANCHOR.match, shapes) if m), None)
    prefix = match[1] if match else ""
    return {name.removeprefix(prefix): shape for name, shape in shapes.items() if name.startswith(prefix)}


def _dimensions_of(shapes: Shapes, *, head_dim: int) -> Dimensions | None:
    """Original parameter names only; other layouts' names are the model part's business."""
    try:
        dim, patch_values = shapes["x_embedder.weight"]
        rows, _ = shapes["layers.0.attention.qkv.weight"]
        head_dim = shapes.get("layers.0.attention.q_norm.weight", (head_dim,))[0]
        captions = shapes["cap_embedder.0.weight"][0]
        pooled = shapes["clip_text_pooled_proj.0.weight"][0]
    except (KeyError, ValueError, IndexError):
        return None
    heads = dim // max(head_dim, 1)
    channels = patch_values // 4
    if not heads or dim % heads or (rows // head_dim - heads) % 2:
        return None
    return Dimensions(
        channels=channels, dim=dim, heads=heads, kv_heads=(rows // head_dim - heads) // 2,
        layers=_count(shapes, "layers"), refiners=_count(shapes, "noise_refiner"),
        caption_dim=captions, pooled_dim=pooled, qk_norm="layers.0.attention.q_norm.weight" in shapes,
    )  # fmt: skip


def _count(shapes: Shapes, group: str) -> int:
    numbers = [name.split(".")[1] for name in shapes if name.startswith(f"{group}.")]
    return max((int(number) for number in numbers if number.isdecimal()), default=-1) + 1


def elements(shapes: Shapes) -> int:
    """Numbers in all tensors."""
    return sum(math.prod(shape) for shape in shapes.values())
