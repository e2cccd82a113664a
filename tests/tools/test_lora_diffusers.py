"""A LoRA for diffusers: its own loader takes the file and merges the same change; nothing is lost on the way back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import Lumina2Transformer2DModel
from diffusers.loaders import Lumina2LoraLoaderMixin
from safetensors.torch import load_file, save_file
from small_base import CONFIG, write_lora, write_peft

from trainer_core.cli import main
from trainer_core.contracts.errors import UserError
from trainer_core.model.lora_files import read_lora
from trainer_core.planning.lora_facts import lora_facts
from trainer_core.planning.lora_names import official_module
from trainer_core.tools.lora_convert import convert

TARGETS = ["attention.qkv", "attention.out", "feed_forward.w2", "adaLN_modulation.1"]
CLIP = ["time_text_embed.1", "clip_text_pooled_proj.1"]
PATTERNS: dict[str, Any] = {
    "rank_pattern": {"feed_forward.w2": 3}, "alpha_pattern": {"layers.0.attention.qkv": 0.1, "feed_forward.w2": 5},
}  # fmt: skip
ROWS = {"": slice(None), "q": slice(0, 24), "k": slice(24, 36), "v": slice(36, 48)}


def lumina() -> Lumina2Transformer2DModel:
    """Diffusers' model at the sizes of `small_base`."""
    torch.manual_seed(3)
    return Lumina2Transformer2DModel(
        in_channels=4, hidden_size=24, num_layers=CONFIG["n_layers"], num_refiner_layers=1, num_attention_heads=2,
        num_kv_heads=1, cap_feat_dim=12, axes_dim_rope=(4, 4, 4), axes_lens=(32, 16, 16),
    )  # fmt: skip


@pytest.mark.filterwarnings("ignore:The following alpha_pattern keys:RuntimeWarning")
@pytest.mark.parametrize("options", [{}, PATTERNS, {"use_rslora": True}, {"use_dora": True}])
def test_diffusers_itself_merges_the_same_change(base: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    write_peft(base, tmp_path / "peft", target_modules=[*TARGETS, *CLIP], **options)
    file = convert(tmp_path / "peft", tmp_path / "a.safetensors", form="diffusers", tell=print)
    tensors, metadata = Lumina2LoraLoaderMixin.lora_state_dict(str(file), return_lora_metadata=True)
    model = lumina()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    Lumina2LoraLoaderMixin.load_lora_into_transformer(tensors, model, metadata=metadata)
    model.fuse_lora()
    changed = {name.removesuffix(".base_layer.weight"): value for name, value in model.named_parameters()
               if name.endswith(".base_layer.weight")}  # fmt: skip
    lora = read_lora(tmp_path / "peft").modules
    assert len(changed) == len(lora) - len(CLIP) + 2 * 4  # qkv of four blocks is split
    for name, value in changed.items():
        module, part = official_module(name) or ("", "")
        weight = before[f"{name}.weight"]
        # Each row stands for itself: with the others at zero its change is the same.
        whole = torch.zeros(lora[module].shape)
        whole[ROWS[part]] = weight
        torch.testing.assert_close(value, weight + lora[module].change(whole)[ROWS[part]], rtol=1e-6, atol=1e-6)


def test_there_and_back_keeps_every_bit_and_alpha(base: Path, tmp_path: Path) -> None:
    write_peft(base, tmp_path / "peft", target_modules=[*TARGETS, *CLIP], **PATTERNS)
    first = convert(tmp_path / "peft", tmp_path / "first.safetensors", form="comfyui", tell=print)
    there = convert(first, tmp_path / "there.safetensors", form="diffusers", tell=print)
    back = convert(there, tmp_path / "back.safetensors", form="comfyui", tell=print)
    wanted, found = load_file(first), load_file(back)
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)
    names = load_file(there).keys()
    assert {f"transformer.time_caption_embed.{name}.lora_A.weight" for name in CLIP} <= names
    assert all(name.startswith("transformer.") and "attention" not in name for name in names)
    facts = lora_facts(there)
    assert (facts.form, facts.rank, facts.alpha, facts.mixed) == ("diffusers", 4, 6.0, True)
    assert "lora_adapter_metadata" not in read_lora(back).metadata


def test_a_qkv_of_other_rows_is_refused_by_name(base: Path, tmp_path: Path) -> None:
    lora = write_lora(base, tmp_path / "lora.safetensors", seed=1)
    name = "diffusion_model.layers.1.attention.qkv.lora_up.weight"
    save_file({**load_file(lora), name: torch.ones(47, 2)}, lora)
    with pytest.raises(UserError, match=r"layers\.1\.attention\.qkv cannot be split"):
        convert(lora, tmp_path / "a.safetensors", form="diffusers", tell=print)
    assert not (tmp_path / "a.safetensors").exists()


def test_the_command_writes_it(base: Path, tmp_path: Path) -> None:
    lora, made = write_lora(base, tmp_path / "lora.safetensors", seed=1), tmp_path / "a.safetensors"
    assert main(["convert-lora", str(lora), str(made), "--to", "diffusers"]) == 0
    assert lora_facts(made).form == "diffusers"
    assert main(["convert-lora", str(lora), str(tmp_path / "folder"), "--to", "diffusers"]) == 1
