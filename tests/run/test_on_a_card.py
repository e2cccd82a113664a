"""What holds on a CPU holds on a card, in bf16: the demo learns, resume is exact, fewer bits stay near, full memory.

The slow form of the first three runs on the CPU, so that they are known to work before they reach a card.
"""

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import mean

import pytest
import torch
from PIL import Image
from runs import assert_same_run, events, losses, run_of, stop_and_go_on

from trainer_core.contracts.config import TrainConfig, load_config
from trainer_core.planning.demo import TINY_BASE
from trainer_core.tools import demo
from trainer_core.training.run import run_training

Make = Callable[..., TrainConfig]
Record = Callable[[str, float | int | str], None]

DEVICES = [pytest.param("cpu", marks=pytest.mark.slow), pytest.param("cuda", marks=pytest.mark.gpu)]
# Mean distance of a step's loss from that beside the base in bf16 (the built-in base is narrow: docs/performance.md).
FAR = {"int8": 0.01, "nf4": 0.2}


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Kernels whose sums have an order, where there are any."""
    monkeypatch.setitem(os.environ, "CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("device", DEVICES)
def test_the_demo_learns_in_bf16(
    device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_figure: Record
) -> None:
    made = demo.demo_config
    monkeypatch.setattr(
        demo, "demo_config", lambda *places: replace(made(*places), device=device, mixed_precision="bf16")
    )
    figures = demo.run_demo(TINY_BASE, tmp_path / "demo")
    record_figure(f"demo in bf16 on {device}", json.dumps(figures))
    assert figures["before"] == 0 and figures["after"] >= 0.8 and figures["others"] >= 0.85


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("device", DEVICES)
def test_36_resume_in_bf16_is_bit_exact(device: str, config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, halved = (config(name, device=device, mixed_precision="bf16", use_cache=False) for name in ("one", "two"))
    assert run_training(whole) == "finished"
    stop_and_go_on(halved, monkeypatch)
    assert_same_run(whole, halved)


@pytest.mark.parametrize("device", DEVICES)
def test_beside_fewer_bits_losses_stay_near_for_200_steps(device: str, config: Make, record_figure: Record) -> None:
    def run(kind: str) -> list[float]:
        settings = {"quantize_base": kind, "device": device, "mixed_precision": "bf16", "max_train_steps": 200}
        made = config(kind, num_epochs=100, gradient_accumulation_steps=1, save_epochs_interval=100, **settings)
        assert run_training(made) == "finished"
        return losses(made)

    exact = run("no")
    for kind, far in FAR.items():
        distance = mean(abs(one - other) / other for one, other in zip(run(kind), exact, strict=True))
        record_figure(f"{device}: losses of 200 steps beside {kind}, mean distance", distance)
        assert 0 < distance < far


@pytest.fixture
def large_pictures(tmp_path: Path) -> Path:
    """Five of 768 px: a batch of them needs many times what the base does."""
    folder = tmp_path / "large"
    folder.mkdir()
    for number in range(5):
        Image.linear_gradient("L").rotate(10 * number).resize((768, 768)).convert("RGB").save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("a gradient", encoding="utf-8")
    return folder


@pytest.mark.gpu
def test_a_card_that_is_full_makes_a_run_go_on_with_less(config: Make, large_pictures: Path) -> None:
    """A plain allocation leaves room for half of what the first setting needs beyond the last."""

    def settings(name: str, **changed: object) -> TrainConfig:
        values = {
            "device": "cuda", "mixed_precision": "bf16", "train_data_dir": str(large_pictures), "resolution": 768,
            "gradient_accumulation_steps": 1, "max_train_steps": 2, "lr_warmup_steps": 0, "train_batch_size": 5,
            "gradient_checkpointing": False,
        }  # fmt: skip
        return config(name, **(values | changed))

    peaks = []
    for made in (settings("roomy"), settings("light", train_batch_size=1, gradient_checkpointing=True)):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        assert run_training(made) == "finished"
        peaks.append(torch.cuda.max_memory_reserved())
    assert peaks[0] > 1.5 * peaks[1]
    torch.cuda.empty_cache()
    room = torch.cuda.mem_get_info()[0] - sum(peaks) // 2
    filler = torch.empty(room, dtype=torch.uint8, device="cuda")
    made = settings("tight")
    assert run_training(made) == "finished" and len(losses(made)) == 2
    del filler
    told = [event for event in events(made, "warning") if "out of memory" in event["message"]]
    assert told and "micro_batch_size" in told[0]["settings"]
    assert load_config(run_of(made).config_file).micro_batch_size == 1
