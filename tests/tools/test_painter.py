"""Pictures with LoRAs: the same as from the merged model, whatever the LoRA's form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_base import quiet, write_base, write_peft

from trainer_core.contracts.errors import UserError
from trainer_core.planning.demo import TINY_BASE
from trainer_core.tools.merge import merge
from trainer_core.tools.painter import paint
from trainer_core.training.sampling import SampleSettings

WANTED = SampleSettings(
    prompt="1girl", negative_prompt="", width=64, height=64, steps=2, cfg=1.0, shift=6.0, seed=1
)  # fmt: skip


def picture(base: Path, loras: list[tuple[Path, float]]) -> np.ndarray:
    found: list[Image.Image] = []
    paint(base, loras, [WANTED], device=torch.device("cpu"), painted=lambda number, wanted, image: found.append(image))
    return np.asarray(found[0]).astype(int)


def test_a_dora_of_mixed_ranks_paints_what_the_merged_model_paints(tmp_path: Path) -> None:
    write_peft(TINY_BASE, tmp_path / "peft", rank_pattern={"attention.qkv": 2}, use_dora=True, use_rslora=True)
    merged = merge(TINY_BASE, [(tmp_path / "peft", 0.5)], tmp_path / "merged", quiet)
    found, wanted = picture(TINY_BASE, [(tmp_path / "peft", 0.5)]), picture(merged, [])
    # The merged file rounds to the base's bf16, which painting in fp32 does not.
    assert np.abs(found - wanted).mean() < 1
    assert np.abs(found - picture(TINY_BASE, [])).mean() > 5


def test_a_prompt_that_is_cut_is_named() -> None:
    told: list[str] = []
    limits = {"max_gemma_tokens": 8, "max_jina_tokens": 8}
    wanted = replace(WANTED, prompt="1girl, " * 9, steps=1)
    device = torch.device("cpu")
    paint(TINY_BASE, [], [wanted], device=device, painted=lambda *_: None, tell=told.append, text=limits)
    assert [sentence[:40] for sentence in told] == [
        "prompt cut at 8 tokens for Gemma: 1girl,", "prompt cut at 8 tokens for Jina: 1girl, "
    ]  # fmt: skip


def test_a_lora_that_does_not_fit_is_refused_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_peft(TINY_BASE, tmp_path / "peft", target_modules=["layers.0.attention.qkv"])
    base = write_base(tmp_path / "base")
    with pytest.raises(UserError, match=r"layers\.0\.attention\.qkv"):
        picture(base, [(tmp_path / "peft", 1.0)])
