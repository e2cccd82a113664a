"""LoRA key names: every module in every spelling, other kinds and other models by name."""

import time

import pytest
import torch
from torch import nn

from trainer_core.model.nextdit import NextDiT
from trainer_core.planning.lora_names import Key, official_module, read_names

PREFIXES = (
    "",
    "diffusion_model.",
    "model.diffusion_model.",
    "transformer.",
    "base_model.model.",
    "unet.base_model.model.",
    "base_model.model.diffusion_model.",
    "model.",
    "_orig_mod.",
    "base_model.model._orig_mod.",
)
SUFFIXES = {
    "down": (".lora_down.weight", ".lora_A.weight", ".lora_A.default.weight", "_lora.down.weight",
             ".lora.down.weight", ".lora_down", ".lora_A"),
    "up": (".lora_up.weight", ".lora_B.weight", ".lora_B.default.weight", "_lora.up.weight", ".lora.up.weight"),
    "alpha": (".alpha",),
    "magnitude": (".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.default.weight"),
    "w1": (".lokr_w1",),
    "w2_a": (".lokr_w2_a",),
}  # fmt: skip


@pytest.fixture(scope="module")
def linears() -> list[str]:
    with torch.device("meta"):
        model = NextDiT()
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def test_every_linear_layer_is_known_in_every_spelling(linears: list[str]) -> None:
    assert len(linears) == 246
    for name in linears:
        flat = name.replace(".", "_")
        spellings = [*(prefix + name for prefix in PREFIXES), *(p + flat for p in ("lora_unet_", "lycoris_"))]
        assert {official_module(spelling) for spelling in spellings} == {(name, "")}


def test_every_suffix_tells_its_role() -> None:
    for role, suffixes in SUFFIXES.items():
        for suffix in suffixes:
            name = f"diffusion_model.layers.11.attention.qkv{suffix}"
            assert read_names([name]).keys == {name: Key(module="layers.11.attention.qkv", rows="", role=role)}


@pytest.mark.parametrize(("stem", "module", "rows"), [
    ("transformer.layers.3.attn.to_q", "layers.3.attention.qkv", "q"),
    ("diffusion_model.layers.3.attention.to_v", "layers.3.attention.qkv", "v"),
    ("lora_unet_context_refiner_1_attn_to_k", "context_refiner.1.attention.qkv", "k"),
    ("transformer.layers.3.attn.to_out.0", "layers.3.attention.out", ""),
    ("transformer.noise_refiner.0.norm1.linear", "noise_refiner.0.adaLN_modulation.1", ""),
    ("transformer.layers.0.feed_forward.linear_3", "layers.0.feed_forward.w3", ""),
    ("transformer.time_caption_embed.timestep_embedder.linear_2", "t_embedder.mlp.2", ""),
    ("transformer.norm_out.linear_1", "final_layer.adaLN_modulation.1", ""),
])  # fmt: skip
def test_diffusers_names_mean_official_modules(stem: str, module: str, rows: str) -> None:
    assert official_module(stem) == (module, rows)


@pytest.mark.parametrize("stem", ["layers.0.attention", "layers.00.attention.qkv", "layers.x.attention.qkv", "qkv",
                                  "context_refiner.0.adaLN_modulation.1", "layers.0.attention_norm1", "norm_final",
                                  "blocks.0.attention.qkv", "layers.0.attention.qkv.base_layer", ""])  # fmt: skip
def test_what_is_no_linear_layer_of_newbie_is_no_module(stem: str) -> None:
    assert official_module(stem) is None


QKV = "diffusion_model.layers.0.attention.qkv"
PAIR = [f"{QKV}.lora_up.weight", f"{QKV}.lora_down.weight"]


@pytest.mark.parametrize(("name", "word"), [
    (f"{QKV}.lokr_t2", "LoKr for convolutions"),
    (f"{QKV}.hada_w1_a", "LoHa"),
    (f"{QKV}.a1.weight", "GLoRA"),
    (f"{QKV}.oft_blocks", "OFT"),
    ("base_model.model.layers.0.attention.qkv.oft_R", "OFT"),
    ("base_model.model.layers.0.attention.qkv.boft_R", "BOFT"),
    ("base_model.model.layers.0.attention.qkv.ia3_l", "(IA)3"),
    (f"{QKV}.on_input", "(IA)3"),
    (f"{QKV}.diff", ".diff"),
    ("diffusion_model.norm_final.w_norm", ".diff"),
    (f"{QKV}.lora_mid.weight", "Tucker"),
    ("base_model.model.layers.0.attention.qkv.lora_E", "AdaLoRA"),
    ("base_model.model.layers.0.attention.qkv.lora_B.bias", "biases"),
    ("base_model.model.final_layer.modules_to_save.linear.weight", "modules_to_save"),
    ("lora_te1_text_model_encoder_layers_0_mlp_fc1.lora_up.weight", "text encoders"),
    ("text_encoder.model.layers.0.self_attn.q_proj.lora_A.weight", "text encoders"),
    ("lora_gemma_model_layers_0_mlp_up_proj.lora_down.weight", "text encoders"),
])  # fmt: skip
def test_other_kinds_are_named_even_beside_modules_that_fit(name: str, word: str) -> None:
    found = read_names([*PAIR, name])
    assert word in found.reason and name in found.reason and found.known_kind


@pytest.mark.parametrize(("stem", "model"), [
    ("lora_unet_double_blocks_0_img_attn_qkv", "FLUX"),
    ("transformer.single_transformer_blocks.0.attn.to_q", "FLUX"),
    ("diffusion_model.joint_blocks.0.x_block.attn.qkv", "Stable Diffusion 3"),
    ("transformer.transformer_blocks.0.img_mlp.net.2", "Qwen-Image"),
    ("diffusion_model.blocks.0.cross_attn.k", "Wan"),
    ("diffusion_model.blocks.0.self_attn.q_proj", "Anima"),
    ("lora_unet_down_blocks_2_attentions_0_transformer_blocks_7_attn1_to_q", "SDXL"),
    ("lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn1_to_q", "Stable Diffusion 1.5"),
    ("unet.mid_block.attentions.0.proj_in", "Stable Diffusion 1.5"),
    ("base_model.model.model.layers.0.self_attn.q_proj", "a language model"),
])  # fmt: skip
def test_other_models_are_recognised(stem: str, model: str) -> None:
    shared = ["transformer.x_embedder.lora_down.weight"]
    found = read_names([*shared, f"{stem}.lora_down.weight", f"{stem}.lora_up.weight"])
    assert f"looks like a LoRA for {model}" in found.reason and found.known_kind


@pytest.mark.parametrize(("names", "words"), [
    (["layers.0.attention.qkv.weight", "norm_final.weight"], "a model and not a LoRA"),
    ([*PAIR, "diffusion_model.layers.0.surprise.lora_up.weight"], "no such modules"),
    ([*PAIR, "extra"], "not understood: extra"),
    ([], "no LoRA tensors"),
])  # fmt: skip
def test_the_rest_is_told_apart(names: list[str], words: str) -> None:
    assert words in read_names(names).reason


def test_hostile_names_are_shortened_and_cleaned() -> None:
    reason = read_names(["\x1b[31m" + "x" * 100_000, *(f"n{i}" for i in range(50))]).reason
    assert "\x1b" not in reason and len(reason) < 500 and "and 45 more" in reason


def test_a_hundred_thousand_names_are_sorted_quickly() -> None:
    parts = ("attention.qkv", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3")
    names = [f"diffusion_model.layers.{i}.{part}.{half}.weight"
             for i in range(9999) for part in parts for half in ("lora_up", "lora_down")]  # fmt: skip
    names += [f"lora_unet_{i}.lora_down.weight" for i in range(20_008)]
    started = time.monotonic()
    assert len(read_names(names).keys) == 79_992
    assert time.monotonic() - started < 10
