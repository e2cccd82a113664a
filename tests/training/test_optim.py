"""Optimizers by name, and learning rates as a function of the step."""

from dataclasses import replace

import pytest
import torch

from trainer_core.contracts.config import TrainConfig, options
from trainer_core.contracts.errors import UserError
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
    assert "polynomial has power 1" in next(spec.help for spec in options() if spec.name == "lr_scheduler")


def test_without_a_warm_up_a_constant_rate_is_whole_from_the_first_step() -> None:
    rate = rate_of_step(replace(CONFIG, lr_scheduler="constant", lr_warmup_steps=0), 110)
    assert {rate(step) for step in (0, 1, 109)} == {1.0}
