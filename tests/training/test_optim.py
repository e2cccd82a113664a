"""Optimizers by name, and learning rates as a function of the step."""

from copy import deepcopy
from dataclasses import replace

import pytest
import torch

from trainer_core.contracts.config import TrainConfig, options
from trainer_core.contracts.errors import UserError
from trainer_core.training.checkpoint import optimizer_state, restore_optimizer
from trainer_core.training.optim import build_optimizer, rate_of_step

CPU = torch.device("cpu")
CONFIG = TrainConfig(base_model_path="b", train_data_dir="d", learning_rate=1.0, lr_warmup_steps=10)


def test_adamw_takes_its_settings() -> None:
    config = replace(CONFIG, optimizer_type="AdamW", weight_decay=0.25, adam_beta1=0.8, adam_beta2=0.9)
    group = build_optimizer(config, [torch.nn.Parameter(torch.zeros(2))], CPU).param_groups[0]
    assert (group["lr"], group["betas"], group["weight_decay"]) == (1.0, (0.8, 0.9), 0.25)


def test_8_bit_without_a_gpu_is_refused_with_what_to_do() -> None:
    with pytest.raises(UserError, match="AdamW8bit") as error:
        build_optimizer(CONFIG, [torch.nn.Parameter(torch.zeros(2))], CPU)
    assert any("AdamW" in hint for hint in error.value.hints)


def _trained(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    """Parameters and states after six steps, the states put back from a checkpoint's in between."""
    noise = torch.Generator().manual_seed(0)
    parameters = optimizer.param_groups[0]["params"]
    for step in range(6):
        for parameter in parameters[: 2 if step < 2 else 3]:
            parameter.grad = torch.randn(parameter.shape, generator=noise).to(parameter.device)
        assert optimizer.step(lambda: 7.0) == 7.0
        if step == 3:
            restore_optimizer(optimizer, deepcopy(optimizer_state(optimizer)))
    states = [value for parameter in parameters for value in optimizer.state[parameter].values()]
    return [*parameters, *map(torch.as_tensor, states)]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_8_bit_is_bitsandbytes_own_without_its_waiting(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    waits: list[torch.Tensor] = []
    monkeypatch.setattr(bitsandbytes.optim.optimizer, "sync_gpu", waits.append)
    # In 8 bits, in 32 for its size, and one that has no gradient at first.
    sizes = (8192, 64, 5000)
    here, there = ([torch.nn.Parameter(torch.full((n,), 0.5, device=device)) for n in sizes] for _ in range(2))
    ours = _trained(build_optimizer(CONFIG, here, torch.device("cuda")))
    assert not waits
    theirs = bitsandbytes.optim.AdamW8bit(there, lr=CONFIG.learning_rate, weight_decay=CONFIG.weight_decay)
    wanted = _trained(theirs)
    assert len(waits) == 16 and len(ours) == len(wanted) == 3 + 7 + 3 + 7
    assert all(torch.equal(one, other) for one, other in zip(ours, wanted, strict=True))


@pytest.mark.parametrize(
    ("name", "half_way", "end"),
    [
        ("constant", 1.0, 1.0),
        ("constant_with_warmup", 1.0, 1.0),
        ("linear", 0.5, 0.0),
        ("cosine", 0.5, 0.0),
        ("cosine_with_restarts", 0.5, 0.0),
        ("polynomial", 0.5, 1e-7),
    ],
)
def test_each_schedule(name: str, half_way: float, end: float) -> None:
    rate = rate_of_step(replace(CONFIG, lr_scheduler=name), 110)
    assert rate(60) == pytest.approx(half_way, abs=1e-6) and rate(110) == pytest.approx(end, abs=1e-6)
    assert rate(5) == 0.5


def test_polynomial_is_linear_as_its_help_says() -> None:
    linear, polynomial = (rate_of_step(replace(CONFIG, lr_scheduler=name), 110) for name in ("linear", "polynomial"))
    assert [polynomial(step) for step in range(111)] == pytest.approx([linear(step) for step in range(111)], abs=2e-7)
    assert "polynomial has power 1: linear, but down to 1e-7" in next(
        spec.help for spec in options() if spec.name == "lr_scheduler"
    )


def test_without_a_warm_up_a_constant_rate_is_whole_from_the_first_step() -> None:
    rate = rate_of_step(replace(CONFIG, lr_scheduler="constant", lr_warmup_steps=0), 110)
    assert {rate(step) for step in (0, 1, 109)} == {1.0}
