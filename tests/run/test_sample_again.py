"""`sample` with a run's LoRA draws what the run drew, whatever system prompt it was trained with."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from runs import run_of

from trainer_core.cli import main
from trainer_core.contracts.config import TrainConfig
from trainer_core.training.run import run_training

PROMPT = "1girl, red hair"


def test_a_runs_samples_can_be_drawn_again(config: Callable[..., TrainConfig], tmp_path: Path) -> None:
    system = "In this picture you see what the words describe. "
    made = config(num_epochs=1, gemma3_prompt=system, sample_prompts=[PROMPT], sample_steps=2, max_gemma_tokens=40)
    run_training(made)
    samples = sorted(run_of(made).samples.iterdir())
    with Image.open(samples[-1]) as picture:
        inside = json.loads(picture.info["newbie"])
    assert (inside["system_prompt_tags"], inside["max_gemma_tokens"]) == (system, 40)
    # At step 0 the adapter changes nothing, so the base alone with the run's system prompt is the very same.
    assert np.array_equal(drawn(tmp_path / "0", "--system-prompt", system), pixels(samples[0]))
    # Weights with the LoRA inside round a little otherwise than base and adapter side by side.
    again = drawn(tmp_path / "1", "--lora", str(run_of(made).path))
    assert np.abs(again - pixels(samples[-1])).max() <= 1
    other = drawn(tmp_path / "2", "--lora", str(run_of(made).path), "--system-prompt", "")
    assert np.abs(other - again).mean() > 5


def drawn(folder: Path, *more: str) -> np.ndarray:
    call = ["sample", "--prompt", PROMPT, "--steps", "2", "--device", "cpu", "--output", str(folder), *more]
    assert main(call) == 0
    return pixels(next(folder.iterdir()))


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        return np.asarray(image.convert("RGB")).astype(int)
