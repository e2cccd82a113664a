"""A card is given its next step before the one before is read; here the CPU plays the card."""

from collections.abc import Callable

import pytest
from runs import assert_same_run, events, losses, run_of

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.training import loop
from trainer_core.training.run import run_training
from trainer_core.training.session import Session

Make = Callable[..., TrainConfig]


@pytest.fixture
def order(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the loop does, in order: "launch 3", "read 3" (1-based steps); every session runs ahead."""
    seen: list[str] = []
    launch, result, begin = loop.Trainer.launch, loop.LaunchedStep.result, Session.__init__

    def launching(self: loop.Trainer, step: int) -> loop.LaunchedStep:
        seen.append(f"launch {step + 1}")
        return launch(self, step)

    def reading(self: loop.LaunchedStep) -> loop.StepResult:
        seen.append(f"read {self.step + 1}")
        return result(self)

    def ahead(self: Session, *given: object, **more: object) -> None:
        begin(self, *given, **more)  # type: ignore[arg-type]
        self._ahead = True

    monkeypatch.setattr(loop.Trainer, "launch", launching)
    monkeypatch.setattr(loop.LaunchedStep, "result", reading)
    monkeypatch.setattr(Session, "__init__", ahead)
    return seen


def test_steps_are_read_late_and_before_anything_is_saved(
    config: Make, finished: TrainConfig, order: list[str]
) -> None:
    made = config("ahead", num_epochs=1, save_every_n_steps=3)
    assert run_training(made) == "finished"
    assert order == [
        "launch 1", "launch 2", "read 1", "launch 3", "read 2", "read 3", "launch 4", "read 4",
    ]  # fmt: skip
    kinds = [(event["step"]) for event in events(made, "checkpoint")]
    assert kinds == [3, 4] and len(losses(made)) == 4
    assert_same_run(made, finished)


def test_what_a_bad_step_did_is_never_saved(config: Make, order: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    made = config(num_epochs=1, save_every_n_steps=2)
    real, calls = loop.velocity_loss, iter(range(100))
    # Two micro-batches a step: the first of step 3.
    monkeypatch.setattr(loop, "velocity_loss", lambda *a: real(*a) * (float("nan") if next(calls) == 4 else 1.0))
    with pytest.raises(UserError, match="loss of step 3 is not a finite number"):
        run_training(made)
    assert order[-2:] == ["launch 4", "read 3"]
    assert [event["step"] for event in events(made, "checkpoint")] == [2] and run_of(made).status() == "failed"
