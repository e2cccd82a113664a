"""Training beside a quantised base: near the exact one's losses, and as exactly resumed."""

from collections.abc import Callable

import pytest
from runs import assert_same_run, losses, stop_and_go_on, weights

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.training.run import run_training

Make = Callable[..., TrainConfig]
Record = Callable[[str, float], None]
# Mean distance of a step's loss from that beside the exact base, as a share of it. The built-in base is narrow: few
# weights share a sum, so that 4 bits weigh more than in the released model.
TOLERANCE = {"int8": 0.004, "nf4": 0.15}


@pytest.mark.parametrize("kind", ["int8", pytest.param("nf4", marks=pytest.mark.slow)])
def test_losses_stay_near_and_resume_is_bit_exact(
    kind: str, config: Make, finished: TrainConfig, monkeypatch: pytest.MonkeyPatch, record_figure: Record
) -> None:
    whole, halved = (config(name, num_epochs=1, quantize_base=kind) for name in ("whole", "halved"))
    assert run_training(whole) == "finished"
    stop_and_go_on(halved, monkeypatch)
    assert_same_run(whole, halved)
    near, exact = losses(whole), losses(finished)
    distance = sum(abs(a - b) / b for a, b in zip(near, exact, strict=True)) / len(exact)
    record_figure(f"loss beside a base in {kind}, mean distance", distance)
    assert 0 < distance < TOLERANCE[kind] and any(value.any() for value in weights(whole).values())


def test_a_quantised_text_encoder_makes_features_of_its_own(config: Make) -> None:
    made = config("encoder", max_train_steps=1, quantize_gemma="int8")
    plain = config("plain", max_train_steps=1)
    assert run_training(made) == run_training(plain) == "finished"
    assert losses(made) != losses(plain)
    with pytest.raises(UserError, match="quantize_gemma: 'int8' -> 'no'"):
        run_training(config("encoder", max_train_steps=2))
