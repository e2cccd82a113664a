"""Advice is given when there is something to advise, and once."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from trainer_core.contracts.config import TrainConfig
from trainer_core.dataset.scan import ImageItem
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.training.advising import SETTLED, Advisor
from trainer_core.training.features import Sample

CONFIG = TrainConfig(base_model_path="b", train_data_dir="d", mixed_precision="no", num_epochs=5)
ITEM = ImageItem(path=Path("a.png"), relative=PurePosixPath("a.png"), caption="", repeats=1, width=64, height=64)
SAMPLES = [Sample(item=ITEM, image_hash="", bucket=(64, 64), latents="", texts=())]
CARD = Machine(gpus=(Gpu(index=0, name="RTX 4090", total_mib=24564, free_mib=9000),))


class Told:
    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []

    def emit(self, kind: str, **fields: Any) -> None:
        self.events.append({"kind": kind, **fields})

    def traceback(self) -> None: ...

    def close(self) -> None: ...


def advice(
    machine: Machine | Callable[[], Machine], device: str, steps: int, loss: float = 0.0, earlier: Sequence[float] = ()
) -> list[dict[str, Any]]:
    """What is told in `steps` steps, ten of them an epoch; `loss` is the fall from the first to the last step."""
    told, rng = Told(), random.Random(1)
    look = (lambda: machine) if isinstance(machine, Machine) else machine
    advisor = Advisor(CONFIG, SAMPLES, told, device=device, machine=look, total_steps=steps, losses=earlier)
    for step in range(1, steps + 1):
        value = (0.3 - loss * step / steps) * rng.uniform(0.7, 1.3)
        advisor.watch(step, value, 1.0, epoch_ends=step % 10 == 0)
    return told.events


def test_a_slow_setting_is_named_once_when_steps_have_settled() -> None:
    (told,) = advice(CARD, "cuda", 200, loss=0.25)
    assert (told["topic"], told["step"]) == ("speed", SETTLED) and 'mixed_precision = "no"' in told["hints"][0]


def test_a_machine_without_a_gpu_gets_no_advice_about_speed() -> None:
    assert advice(Machine(), "cpu", 200, loss=0.25) == []
    assert "although there is a GPU" in advice(CARD, "cpu", SETTLED)[0]["hints"][0]


def test_a_flat_loss_brings_the_published_checks_once() -> None:
    (told,) = advice(Machine(), "cpu", 1500)
    assert told["topic"] == "loss" and any("1 of 1 images have none" in hint for hint in told["hints"])


def test_other_figures_are_no_other_advice_and_looks_are_rare() -> None:
    looks: list[Machine] = []

    def look() -> Machine:
        busy = replace(CARD.gpus[0], utilisation=10 + len(looks), free_mib=9000 - 100 * len(looks))
        looks.append(Machine(gpus=(busy,)))
        return looks[-1]

    (told,) = advice(look, "cuda", 200, loss=0.25)
    assert any("10 % of the time" in hint for hint in told["hints"]) and len(looks) == 200 // SETTLED


def test_a_loss_that_fell_before_the_run_was_continued_is_not_flat() -> None:
    rng = random.Random(2)
    fell = [(0.9 - 0.6 * step / 1500) * rng.uniform(0.7, 1.3) for step in range(1500)]
    assert advice(Machine(), "cpu", 1500, earlier=fell) == []
