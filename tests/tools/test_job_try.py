"""Try it: one seed, several strengths; the base alone at 0, and what `sample` gives at 1."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from job_folder import job_in, told
from PIL import Image
from small_base import write_peft

from trainer_core.contracts.errors import UserError
from trainer_core.jobs.context import JobContext, JobStopped
from trainer_core.planning.demo import TINY_BASE
from trainer_core.tools.generate import PictureRequest, generate
from trainer_core.tools.job_try import run
from trainer_core.training.sampling import SampleSettings


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return job_in(tmp_path / "jobs" / "one")


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lora") / "peft"
    write_peft(TINY_BASE, folder)
    return folder


def spec(lora: Path, **more: Any) -> dict[str, Any]:
    loras = [{"path": str(lora), "strength": 0.5}]
    sizes = {"width": 64, "height": 64, "steps": 2, "cfg": 1.0, "seed": 1}
    return {"base": str(TINY_BASE), "loras": loras, "prompt": "1girl", **sizes, **more}


def pixels(job: JobContext, name: str) -> np.ndarray:
    with Image.open(job.folder.samples / name) as image:
        return np.asarray(image).astype(int)


def sampled(loras: list[tuple[Path, float]]) -> np.ndarray:
    wanted = SampleSettings(
        prompt="1girl", negative_prompt="", width=64, height=64, steps=2, cfg=1.0, shift=6.0, seed=1
    )
    found: list[Image.Image] = []
    request, device = PictureRequest(settings=wanted), torch.device("cpu")
    generate(TINY_BASE, loras, [request], device=device, generated=lambda number, made, image: found.append(image))
    return np.asarray(found[0]).astype(int)


def test_every_strength_is_what_sample_makes_of_it(lora: Path, job: JobContext) -> None:
    names = run(spec(lora, strengths=[1, 0, 2]), job)["pictures"]
    assert names == ["00-strength-1.png", "00-strength-0.png", "00-strength-2.png"]
    for name, strength in zip(names, (0.5, 0.0, 1.0), strict=True):
        assert np.array_equal(pixels(job, name), sampled([(lora, strength)] if strength else []))
    assert np.abs(pixels(job, names[0]) - pixels(job, names[1])).mean() > 5


def test_pictures_are_told_and_carry_their_settings(lora: Path, job: JobContext) -> None:
    run(spec(lora, prompt="", prompts=["one", "two"], strengths=[0, 1], negative="bad"), job)
    events = told(job, "sample")
    assert [(e["file"], e["strength"], e["seed"], e["text"]) for e in events] == [
        ("00-strength-0.png", 0, 1, "one"), ("01-strength-0.png", 0, 1, "two"),
        ("00-strength-1.png", 1, 1, "one"), ("01-strength-1.png", 1, 1, "two"),
    ]  # fmt: skip
    with Image.open(job.folder.samples / "01-strength-1.png") as image:
        inside = json.loads(image.info["newbie"])
    assert (inside["prompt"], inside["negative_prompt"]) == ("two", "bad")
    assert inside["loras"] == [{"name": "peft", "strength": 0.5}]


def test_steps_are_told_and_a_stop_is_heard_between_two(lora: Path, job: JobContext) -> None:
    class StoppedInTheMiddle(JobContext):
        def progress(self, phase: str, done: int, total: int) -> None:
            if phase == "painting" and done == 5:
                assert total == 3 * 4
                self.folder.request("stop")
            super().progress(phase, done, total)

    with pytest.raises(JobStopped):
        run(spec(lora, steps=4), StoppedInTheMiddle(job.folder))
    assert [event["file"] for event in told(job, "sample")] == ["00-strength-0.png"]
    assert [event["phase"] for event in told(job, "phase")][:2] == ["reading prompts", "loading the base"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"width": 100}, "multiple of 16"),
        ({"height": 4096}, "64 to 2048"),
        ({"steps": 2.5}, "whole number"),
        ({"cfg": float("nan")}, "0 to 100"),
        ({"prompt": ""}, "1 to 8 texts"),
        ({"strengths": []}, "1 to 16 numbers"),
        ({"device": "cuda:1"}, "one of cpu, cuda"),
    ],
)
def test_a_spec_that_says_nonsense_is_refused(lora: Path, job: JobContext, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        run(spec(lora) | wrong, job)
    assert caught.value.code == "job_invalid" and not job.folder.samples.exists()
