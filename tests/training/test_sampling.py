"""Sampling: ComfyUI's schedule, Euler steps, guidance, and what a PNG tells of its making."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_lora import tiny_model
from torch import Tensor

from trainer_core.model.vae import tensor_to_image
from trainer_core.training import sampling
from trainer_core.training.sampling import (
    SampleSettings,
    TextFeatures,
    guided_velocity,
    sample_latents,
    save_png,
    simple_sigmas,
)


def settings(**changes: object) -> SampleSettings:
    values = {"prompt": "ä girl", "negative_prompt": "", "width": 64, "height": 32, "steps": 3, "cfg": 4.5,
              "shift": 6.0, "seed": 1, **changes}  # fmt: skip
    return SampleSettings(**values)  # type: ignore[arg-type]


def features(seed: int, tokens: int = 5) -> TextFeatures:
    generator = torch.Generator().manual_seed(seed)
    return TextFeatures(
        cap_feats=torch.randn(tokens, 12, generator=generator), pooled=torch.randn(10, generator=generator)
    )


PAIR = (features(1), features(2, tokens=3))


def shifted(u: Tensor, shift: float) -> list[float]:
    return (shift * u / (1 + (shift - 1) * u)).tolist()


def test_the_schedule_ends_as_comfyuis_simple_one() -> None:
    sigmas = simple_sigmas(20, 6.0)
    assert len(sigmas) == 21
    assert sigmas[0] == 1.0
    assert sigmas[-2:] == [pytest.approx(0.24), 0.0]


@pytest.mark.parametrize("steps", [1, 4, 20, 25, 50, 1000])
@pytest.mark.parametrize("shift", [1.0, 6.0])
def test_it_is_the_shifted_line_where_the_steps_divide_1000(steps: int, shift: float) -> None:
    wanted = shifted(torch.linspace(1, 1 / steps, steps, dtype=torch.float64), shift)
    assert simple_sigmas(steps, shift) == pytest.approx([*wanted, 0.0], abs=1e-12)


@pytest.mark.parametrize("steps", [3, 7, 24, 28, 30])
def test_other_counts_come_close_and_always_fall(steps: int) -> None:
    wanted = shifted(torch.linspace(1, 1 / steps, steps, dtype=torch.float64), 6.0)
    sigmas = simple_sigmas(steps, 6.0)
    assert sigmas == pytest.approx([*wanted, 0.0], abs=3e-3)
    assert sigmas == sorted(set(sigmas), reverse=True)


def test_the_38_steps_round_as_comfyui_does() -> None:
    # 1000 / 38 * 19 falls a hair short of 500, so the entry is 499 below the top of the table, not 500.
    assert int(19 * (1000 / 38)) == 499
    assert simple_sigmas(38, 1.0)[19] == 0.501


def test_guidance_is_the_weighted_difference() -> None:
    model, x = tiny_model(), torch.randn(4, 8, 8)
    with torch.no_grad():
        positive = guided_velocity(model, x, 0.3, PAIR, 1.0)
        negative = guided_velocity(model, x, 0.3, PAIR[::-1], 1.0)
        guided = guided_velocity(model, x, 0.3, PAIR, 4.5)
    torch.testing.assert_close(guided, negative + 4.5 * (positive - negative))


def test_sampling_is_keyed_by_its_seed() -> None:
    model = tiny_model()
    results = [sample_latents(model, settings(seed=seed), PAIR, dtype=torch.float32) for seed in (1, 1, 2)]
    assert all(result is not None for result in results)
    first, again, other = results
    assert first.shape == (4, 4, 8)
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_euler_steps_reach_the_data_of_a_straight_flow(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the true velocity data - noise every schedule must arrive at the data; times rise from noise to data."""
    data = torch.randn(4, 4, 8)
    noise = torch.randn((4, 4, 8), generator=torch.Generator().manual_seed(1))
    times: list[float] = []

    def straight(_model: object, _x: Tensor, t: float, *_: object) -> Tensor:
        times.append(t)
        return data - noise

    monkeypatch.setattr(sampling, "guided_velocity", straight)
    result = sample_latents(tiny_model(), settings(steps=5), PAIR, dtype=torch.float32)
    torch.testing.assert_close(result, data)
    assert times[0] == 0.0 and times == sorted(times) and times[-1] < 1


def test_an_interruption_stops_between_two_steps() -> None:
    answers = iter([False, True])
    result = sample_latents(tiny_model(), settings(), PAIR, dtype=torch.float32, interrupted=lambda: next(answers))
    assert result is None
    assert next(answers, "used up") == "used up"


def test_pixels_are_rounded_and_clamped() -> None:
    pixels = torch.tensor([-3.0, -1.0, 0.0, 1.0, 2.0]).expand(3, 1, 5)
    assert np.array(tensor_to_image(pixels))[0, :, 0].tolist() == [0, 0, 128, 255, 255]


def test_a_png_tells_how_it_was_made(tmp_path: Path) -> None:
    file = tmp_path / "samples" / "a.png"
    save_png(Image.new("RGB", (64, 32)), file, settings(), step=120)
    with Image.open(file) as image:
        assert image.size == (64, 32)
        told = json.loads(image.text["newbie"])
        assert (told["prompt"], told["cfg"], told["step"]) == ("ä girl", 4.5, 120)
        assert "Steps: 3, Sampler: Euler, Schedule type: Simple, CFG scale: 4.5, Seed: 1" in image.text["parameters"]
    assert [path.name for path in file.parent.iterdir()] == ["a.png"]
