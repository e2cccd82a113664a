"""What is said, and what becomes of an earlier life's files, where a run goes on."""

from types import SimpleNamespace

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.training.optim import rate_of_step
from trainer_core.training.resuming import rate_warnings


def scheduled(steps: int, **settings: object) -> tuple[TrainConfig, SimpleNamespace]:
    values = {"base_model_path": "b", "train_data_dir": "d", "learning_rate": 1e-3, "lr_warmup_steps": 0, **settings}
    config = TrainConfig(**values)  # type: ignore[arg-type]
    return config, SimpleNamespace(total_steps=steps, rate=lambda: rate_of_step(config, steps))


@pytest.mark.parametrize("scheduler", ["cosine", "linear"])
def test_a_rate_that_jumps_up_is_told_with_both_figures(scheduler: str) -> None:
    before = scheduled(500, lr_scheduler=scheduler)[1].rate()(499)
    config, longer = scheduled(1000, lr_scheduler=scheduler)
    [told] = rate_warnings(config, longer, 500, before)
    assert f"from {before:.3g} at the last step to 0.0005" in told


def test_a_rate_that_rises_as_planned_falls_or_is_unknown_is_not_told() -> None:
    for settings in (
        {"lr_scheduler": "constant", "lr_warmup_steps": 40}, {"lr_scheduler": "cosine"},
        {"lr_scheduler": "cosine_with_restarts", "lr_restarts": 3},
    ):  # fmt: skip
        config, same = scheduled(60, **settings)
        assert [
            told for first in range(60) for told in rate_warnings(config, same, first, same.rate()(first - 1))
        ] == []
    config, shorter = scheduled(60, lr_scheduler="cosine")
    assert rate_warnings(config, shorter, 50, scheduled(90, lr_scheduler="cosine")[1].rate()(49)) == []
    assert rate_warnings(config, shorter, 50, None) == []
