"""Pictures with LoRAs: the same as from the merged model, whatever the LoRA's form."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_base import TARGETS, quiet, write_base, write_lora, write_peft

from trainer_core.cli import main
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.text_settings import TextSettings
from trainer_core.model.folder import find_base, load_transformer
from trainer_core.model.layouts import open_transformer
from trainer_core.planning.adapter import LoraShape
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.phases import GIB
from trainer_core.planning.sample_memory import BasePrecision
from trainer_core.tools.generate import PictureRequest, _apply, _Place, _place, generate
from trainer_core.tools.lora_stack import load_adapters
from trainer_core.tools.merge import merge
from trainer_core.training.adapters import add_adapter
from trainer_core.training.sampling import SampleSettings

WANTED = SampleSettings(
    prompt="1girl", negative_prompt="", width=64, height=64, steps=2, cfg=1.0, shift=6.0, seed=1
)  # fmt: skip


def picture(base: Path, loras: list[tuple[Path, float]]) -> np.ndarray:
    found: list[Image.Image] = []
    requests = [PictureRequest(settings=WANTED)]
    generate(base, loras, requests, device=torch.device("cpu"), generated=lambda _, made, image: found.append(image))
    return np.asarray(found[0]).astype(int)


def test_a_dora_of_mixed_ranks_gives_what_the_merged_model_gives(tmp_path: Path) -> None:
    write_peft(TINY_BASE, tmp_path / "peft", rank_pattern={"attention.qkv": 2}, use_dora=True, use_rslora=True)
    merged = merge(TINY_BASE, [(tmp_path / "peft", 0.5)], tmp_path / "merged", quiet)
    found, wanted = picture(TINY_BASE, [(tmp_path / "peft", 0.5)]), picture(merged, [])
    # The merged file rounds to the base's bf16, which sampling in fp32 does not.
    assert np.abs(found - wanted).mean() < 1
    assert np.abs(found - picture(TINY_BASE, [])).mean() > 5


def test_a_prompt_that_is_cut_is_named() -> None:
    told: list[str] = []
    limits = {"max_gemma_tokens": 8, "max_jina_tokens": 8}
    request = PictureRequest(settings=replace(WANTED, prompt="1girl, " * 9, steps=1))
    device = torch.device("cpu")
    generate(TINY_BASE, [], [request], device=device, generated=lambda *_: None, tell=told.append, text=limits)
    assert [sentence[:40] for sentence in told] == [
        "prompt cut at 8 tokens for Gemma: 1girl,", "prompt cut at 8 tokens for Jina: 1girl, "
    ]  # fmt: skip


def test_a_lora_that_the_base_holds_already_is_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_peft(TINY_BASE, tmp_path / "peft")
    merged = merge(TINY_BASE, [(tmp_path / "peft", 1.0)], tmp_path / "merged", quiet)
    sizes = ["--size=64x64", "--steps=1", "--device=cpu", f"--output={tmp_path / 'out'}"]
    assert main(["sample", f"--base={merged}", f"--lora={tmp_path / 'peft'}", "--prompt=1girl", *sizes]) == 0
    assert f"note: {merged / 'transformer'} has peft merged in already (strength 1)" in capsys.readouterr().err


def test_a_lora_that_does_not_fit_is_refused_before_anything_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_peft(TINY_BASE, tmp_path / "peft", target_modules=["layers.0.attention.qkv"])
    base = write_base(tmp_path / "base")
    with pytest.raises(UserError, match=r"layers\.0\.attention\.qkv"):
        picture(base, [(tmp_path / "peft", 1.0)])


def on_a_card(monkeypatch: pytest.MonkeyPatch, precision: BasePrecision) -> None:
    """Let the CPU stand for a card for which the base is held so."""
    place = _Place(device=torch.device("cpu"), dtype=torch.float32, precision=precision)
    monkeypatch.setattr("trainer_core.tools.generate._place", lambda *_, **named: place)


@torch.no_grad()
def test_a_lora_beside_8_bits_is_as_in_training(tmp_path: Path) -> None:
    """There it lies beside the weight and is never rounded with it; one module is in no block, so not in 8 bits."""
    base = write_base(tmp_path / "base")
    adapters = load_adapters(
        [(write_lora(base, tmp_path / "lora.safetensors", seed=1), 1.0)], print, base / "transformer"
    )
    model, trained, alone = (
        load_transformer(base / "transformer", dtype=torch.float32, quantise="int8") for _ in range(3)
    )
    with open_transformer(base / "transformer") as source:
        _apply([adapter.on(torch.device("cpu")) for adapter in adapters], model, source)
    for name, half in add_adapter(trained, LoraShape(rank=2), targets=TARGETS, alpha=3.0, dropout=0.0, seed=0).items():
        module, side = name.rsplit(".", 1)
        loaded = adapters[0].lora.modules[module]
        half.copy_(loaded.down if side == "lora_A" else loaded.up)
    given = (torch.randn(1, 4, 8, 8), torch.tensor([0.5]), torch.randn(1, 5, 12), (5,), torch.randn(1, 10))
    sampled, training, without = (each(*given) for each in (model, trained, alone))
    torch.testing.assert_close(sampled, training, rtol=1e-4, atol=1e-5)
    assert (sampled - without).abs().max() > 0.01


def test_a_base_in_8_bits_and_in_main_memory_gives_nearly_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_peft(TINY_BASE, tmp_path / "peft", use_dora=True)
    loras = [(tmp_path / "peft", 0.5)]
    exact, without = picture(TINY_BASE, loras), picture(TINY_BASE, [])
    on_a_card(monkeypatch, BasePrecision(gemma="int8", transformer="int8"))
    near = picture(TINY_BASE, loras)
    assert 0 < np.abs(near - exact).mean() < 0.2 * np.abs(without - exact).mean()
    on_a_card(monkeypatch, BasePrecision(gemma="int8", transformer="int8", swap=4))
    assert np.array_equal(picture(TINY_BASE, loras), near)


def test_what_a_card_has_free_decides_and_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (GIB // 2, GIB))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    told: list[str] = []
    request = [PictureRequest(settings=replace(WANTED, width=1024, height=2048))]
    place = _place(
        find_base(TINY_BASE), request, [], TextSettings.default(), device=torch.device("cuda"), tell=told.append
    )
    assert place.dtype == torch.bfloat16 and place.precision.transformer == "int8" and place.precision.swap
    assert told == [place.precision.sentence(GIB // 2)]


@pytest.mark.parametrize(("said", "code"), [("CUDA out of memory", "gpu_memory_full"), ("no kernel image", None)])
def test_a_full_card_is_an_error_with_hints(said: str, code: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **named: object) -> None:
        raise RuntimeError(f"CUDA error: {said}")

    monkeypatch.setattr("trainer_core.tools.generate.load_transformer", full)
    with pytest.raises(UserError if code else RuntimeError, match=said) as error:
        picture(TINY_BASE, [])
    assert getattr(error.value, "code", None) == code
    if isinstance(error.value, UserError):
        assert error.value.hints[0] == "Make smaller pictures." and len(error.value.hints) == 2
