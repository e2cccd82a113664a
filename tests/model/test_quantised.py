"""A base in 8 and 4 bits: how near it is, what it holds, and that autograd keeps nothing of it."""

import pytest
import torch
from torch import nn

from trainer_core.model.folder import load_transformer
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.quantised import QuantisedLinear, quantise_blocks
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.quantised import NF4_BLOCK, base_bytes
from trainer_core.planning.shapes import Dimensions

KINDS = ("int8", "nf4")
# Largest error of a normal weight's product, relative to the product's own size: rounding to 255 or 16 levels.
NEAR = {"int8": 0.02, "nf4": 0.15}


def linear(inputs: int = 70, outputs: int = 96, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(inputs, outputs, bias=bias).requires_grad_(False)


def quantised(layer: nn.Linear, kind: str) -> QuantisedLinear:
    return QuantisedLinear(layer.weight, layer.bias, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_product_and_its_gradient_are_near_the_exact_ones(kind: str):
    layer = linear()
    x = torch.randn(5, 70, requires_grad=True)
    exact, near = layer(x), quantised(layer, kind)(x)
    assert 0 < (near - exact).norm() / exact.norm() < NEAR[kind]
    wanted, given = (torch.autograd.grad(y.square().sum(), x)[0] for y in (exact, near))
    assert (given - wanted).norm() / wanted.norm() < 2 * NEAR[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_belongs_to_the_forward_bit_for_bit(kind: str):
    """The same unpacked weight serves both: a plain layer with that weight gives the same bits."""
    held = quantised(linear(bias=False), kind)
    plain = linear(bias=False)
    plain.weight = nn.Parameter(held.unpacked(torch.float32), requires_grad=False)
    x = torch.randn(5, 70, requires_grad=True)
    gradients = [torch.autograd.grad(layer(x).square().sum(), x)[0] for layer in (held, plain)]
    assert torch.equal(*gradients) and torch.equal(held(x), plain(x))


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16, torch.float16))
def test_nf4_is_unpacked_to_bitsandbytes_own_bits_without_a_table_from_the_host(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
):
    functional = pytest.importorskip("bitsandbytes.functional")
    packed, state = functional.quantize_4bit(linear().weight.to(dtype), blocksize=NF4_BLOCK, quant_type="nf4")
    held = QuantisedLinear(linear().weight.to(dtype), None, "nf4")
    monkeypatch.delattr(functional, "get_4bit_type")
    assert torch.equal(held.qweight, packed)
    assert torch.equal(held.unpacked(dtype), functional.dequantize_4bit(packed, state))


@pytest.mark.parametrize("kind", KINDS)
def test_autograd_keeps_nothing(kind: str):
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor), lambda handle: handle):
        quantised(linear(bias=False), kind)(torch.randn(5, 70, requires_grad=True))
    assert kept == []


@pytest.mark.parametrize("kind", KINDS)
def test_autocast_reaches_it(kind: str):
    with torch.autocast("cpu", torch.bfloat16):
        assert quantised(linear(), kind)(torch.randn(2, 70)).dtype == torch.bfloat16


def test_a_row_of_zeros_stays_one():
    layer = linear()
    layer.weight[3] = 0
    assert not quantised(layer, "int8").unpacked(torch.float32)[3].any()


def test_the_tiny_base_loaded_tensor_by_tensor_is_the_one_quantised_afterwards():
    path = TINY_BASE / "transformer"
    loaded = load_transformer(path, dtype=torch.bfloat16, quantise="int8")
    after = load_transformer(path, dtype=torch.bfloat16)
    quantise_blocks(after, "int8")
    one, other = loaded.state_dict(), after.state_dict()
    assert one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)
    plain = {name for name, module in loaded.named_modules() if type(module) is nn.Linear}
    assert "x_embedder" in plain and not any(name.startswith(("layers.", "noise_", "context_")) for name in plain)
    assert not any(parameter.requires_grad or parameter.is_meta for parameter in loaded.parameters())


@pytest.mark.parametrize("kind", ("no", *KINDS))
def test_the_bytes_held_are_those_planned(kind: str):
    dims = Dimensions(
        dim=96, n_heads=4, n_kv_heads=2, n_layers=2, n_refiner_layers=1, axes_dims=(8, 8, 8), cap_feat_dim=160,
        clip_text_dim=96,
    )  # fmt: skip
    model = NextDiT(**vars(dims)).bfloat16()
    if kind != "no":
        quantise_blocks(model, kind)
    held = sum(tensor.nbytes for tensor in model.state_dict().values())
    assert held == base_bytes(dims, kind, 2)


def test_the_released_model_takes_half_and_less_than_a_third():
    half, quarter = (base_bytes(Dimensions(), kind, 2) / base_bytes(Dimensions(), "no", 2) for kind in KINDS)
    assert 0.50 < half < 0.52 and 0.28 < quarter < 0.30
