"""The transformer's dimensions, modules and their parameters, what an adapter's targets hit: sizes without torch."""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer_core.planning.adapter import AdapterShape

TIME_FREQUENCIES = 256
MODULATION_WIDTH = 1024
FFN_MULTIPLE = 256


@dataclass(frozen=True, kw_only=True)
class Dimensions:
    """NextDiT's constructor keywords, named as in the checkpoint's config.json; the defaults are the released model's.

    `n_heads` attend, `n_kv_heads` hold keys and values. axes_dims: numbers of a head that each rotary axis turns.
    """

    patch_size: int = 2
    in_channels: int = 16
    dim: int = 2304
    n_layers: int = 36
    n_refiner_layers: int = 2
    n_heads: int = 24
    n_kv_heads: int = 8
    axes_dims: tuple[int, ...] = (32, 32, 32)
    axes_lens: tuple[int, ...] = (1024, 512, 512)
    qk_norm: bool = True
    cap_feat_dim: int = 2560
    clip_text_dim: int = 1024

    @property
    def head_dim(self) -> int:
        return self.dim // self.n_heads

    @property
    def hidden(self) -> int:
        """Width inside a feed-forward part."""
        return -(-4 * self.dim // FFN_MULTIPLE) * FFN_MULTIPLE

    @property
    def qkv(self) -> int:
        return (self.n_heads + 2 * self.n_kv_heads) * self.head_dim

    @property
    def modulation(self) -> int:
        return min(self.dim, MODULATION_WIDTH)

    @property
    def patch_values(self) -> int:
        return self.patch_size**2 * self.in_channels


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

    def adapter_sizes(self, adapter: AdapterShape) -> list[int]:
        """Elements of each of its adapter's tensors."""
        return [rows * columns for rows, columns in adapter.of(self.outputs, self.inputs).values()]


def block_names(dims: Dimensions) -> list[tuple[str, bool]]:
    """(dotted name, modulated) of every block, in the order of a forward pass."""
    counts = (
        ("context_refiner", dims.n_refiner_layers),
        ("noise_refiner", dims.n_refiner_layers),
        ("layers", dims.n_layers),
    )
    return [(f"{group}.{n}", group != "context_refiner") for group, count in counts for n in range(count)]


def linears(dims: Dimensions) -> list[Linear]:
    """Every linear layer."""
    wide = dims.modulation
    found = [
        Linear(name="x_embedder", inputs=dims.patch_values, outputs=dims.dim, bias=True),
        Linear(name="t_embedder.mlp.0", inputs=TIME_FREQUENCIES, outputs=wide, bias=True),
        Linear(name="t_embedder.mlp.2", inputs=wide, outputs=wide, bias=True),
        Linear(name="cap_embedder.1", inputs=dims.cap_feat_dim, outputs=dims.dim, bias=True),
        Linear(name="clip_text_pooled_proj.1", inputs=dims.clip_text_dim, outputs=dims.clip_text_dim, bias=True),
        Linear(name="time_text_embed.1", inputs=wide + dims.clip_text_dim, outputs=wide, bias=True),
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
    return [dims.cap_feat_dim, dims.clip_text_dim, *block_norms(dims) * len(block_names(dims)), dims.dim]


def block_norms(dims: Dimensions) -> list[int]:
    """The same of one block."""
    return [dims.dim] * 4 + ([dims.head_dim] * 2 if dims.qk_norm else [])


def parameter_count(dims: Dimensions) -> int:
    return sum(layer.parameters for layer in linears(dims)) + sum(norms(dims))


@dataclass(frozen=True, kw_only=True)
class Targets:
    """The linear layers that get an adapter, and the wanted endings that fit none."""

    layers: tuple[Linear, ...]
    unmatched: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(layer.name for layer in self.layers)

    def parameters(self, adapter: AdapterShape) -> int:
        return sum(self.tensor_sizes(adapter))

    def tensor_sizes(self, adapter: AdapterShape) -> list[int]:
        """Elements of each adapter tensor of every layer."""
        return [size for layer in self.layers for size in layer.adapter_sizes(adapter)]


def matching(dims: Dimensions, targets: Sequence[str]) -> Targets:
    """Layers whose dotted name is a target or ends in one after a dot, as training matches them."""

    def hit(layer: Linear, target: str) -> bool:
        return layer.name == target or layer.name.endswith(f".{target}")

    every = linears(dims)
    return Targets(
        layers=tuple(layer for layer in every if any(hit(layer, target) for target in targets)),
        unmatched=tuple(t for t in targets if not any(hit(layer, t) for layer in every)),
    )
