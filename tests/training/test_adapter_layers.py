"""A linear layer with LoRA against PEFT's own, and with LoKr against the product that it never forms."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from trainer_core.planning.adapter import LokrShape, LoraShape
from trainer_core.training import adapter_layers
from trainer_core.training.adapter_layers import LokrLinear, LoraLinear
from trainer_core.training.adapters import add_adapter


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_the_layer_computes_what_pefts_own_does(dropout: float) -> None:
    model = nn.Sequential(nn.Linear(8, 12))
    parameters = add_adapter(model, LoraShape(rank=4), targets=["0"], alpha=6.0, dropout=dropout, seed=1)
    layer, x = model[0], torch.randn(2, 3, 8, requires_grad=True)
    assert type(layer) is LoraLinear
    with torch.no_grad():
        parameters["0.lora_B"].normal_()
    inputs = [x, *parameters.values()]
    results = []
    for forward in (layer.forward, super(LoraLinear, layer).forward):
        torch.manual_seed(7)
        out = forward(x)
        results.append((out, *torch.autograd.grad(out.square().sum(), inputs)))
    for ours, pefts in zip(*results, strict=True):
        torch.testing.assert_close(ours, pefts)


def lokr_layer(adapter: LokrShape, dropout: float = 0.0) -> tuple[LokrLinear, list[nn.Parameter]]:
    model = nn.Sequential(nn.Linear(24, 40))
    parameters = list(add_adapter(model, adapter, targets=["0"], alpha=3.0, dropout=dropout, seed=1).values())
    with torch.no_grad():
        for parameter in parameters:
            parameter.normal_()
    layer = model[0]
    assert isinstance(layer, LokrLinear)
    return layer, parameters


def formed(layer: LokrLinear, x: Tensor, dropped: Tensor) -> Tensor:
    """The same with the Kronecker product as PyTorch makes it."""
    factors = dict(layer.named_parameters())
    whole = factors.get("lokr_w2")
    large = factors["lokr_w2_a"] @ factors["lokr_w2_b"] if whole is None else whole
    return layer.base_layer(x) + layer.scale * F.linear(dropped, torch.kron(factors["lokr_w1"], large))


@pytest.mark.parametrize("rows", [adapter_layers.ROWS, 4, 6])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("adapter", [LokrShape(factor=4), LokrShape(factor=0), LokrShape(factor=4, rank=2)])
def test_a_lokr_computes_what_the_formed_product_does(
    adapter: LokrShape, dropout: float, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter_layers, "ROWS", rows)
    layer, parameters = lokr_layer(adapter, dropout)
    assert layer.scale == (1.5 if adapter.rank else 1.0)
    x = torch.randn(2, 3, 24, requires_grad=True)
    results = []
    for forward in (layer, lambda given: formed(layer, given, layer.dropout(given))):
        torch.manual_seed(7)
        out = forward(x)
        results.append((out, *torch.autograd.grad(out.square().sum(), [x, *parameters])))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("adapter", [LokrShape(factor=4), LokrShape(factor=4, rank=2)])
def test_a_lokr_learns_in_fp32_where_the_layer_computes_in_bf16(adapter: LokrShape) -> None:
    layer, parameters = lokr_layer(adapter)
    layer.base_layer.bfloat16()
    x = torch.randn(64, 24)
    with torch.autocast("cpu", torch.bfloat16):
        out = layer(x)
    assert out.dtype == torch.bfloat16
    grads = torch.autograd.grad(out.square().sum(), parameters)
    layer.base_layer.float()
    exact = torch.autograd.grad(formed(layer, x, x).square().sum(), parameters)
    for grad, other in zip(grads, exact, strict=True):
        assert grad.dtype == torch.float32
        torch.testing.assert_close(grad, other, rtol=0.05, atol=0.02 * other.abs().max().item())


def test_nothing_below_needs_a_gradient() -> None:
    layer, parameters = lokr_layer(LokrShape(factor=4))
    out = layer(torch.randn(3, 24))
    assert all(grad.abs().sum() > 0 for grad in torch.autograd.grad(out.sum(), parameters))
