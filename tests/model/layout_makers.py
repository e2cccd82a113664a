"""The built-in base's parts, rewritten in the layouts in which people have the real ones."""

import re
import shutil
from functools import cache
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

TINY = Path(__file__).resolve().parents[2] / "assets" / "newbie-tiny"
TOKENIZERS = Path(__file__).parent / "data" / "tokenizers"
Weights = dict[str, Tensor]


@cache
def _stored(file: str) -> Weights:
    return load_file(TINY / file)


def transformer() -> Weights:
    return dict(_stored("transformer/diffusion_pytorch_model.safetensors"))


def prefixed(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


def diffusers_names(weights: Weights, *, heads: int = 4, kv_heads: int = 2) -> Weights:
    """Lumina2's naming in diffusers with the pooled projection, written down from the published table."""
    out: Weights = {}
    for name, value in weights.items():
        if name == "norm_final.weight":
            continue
        if name.endswith("attention.qkv.weight"):
            head = value.shape[0] // (heads + 2 * kv_heads)
            pieces = value.split([heads * head, kv_heads * head, kv_heads * head])
            stem = name.removesuffix("attention.qkv.weight") + "attn.to_"
            out |= {f"{stem}{letter}.weight": piece.clone() for letter, piece in zip("qkv", pieces, strict=True)}
            continue
        out[_diffusers_name(name)] = value
    return out


def _diffusers_name(name: str) -> str:
    plain = name.startswith("context_refiner")
    for old, new in (
        (".attention.out.", ".attn.to_out.0."),
        (".attention.q_norm.", ".attn.norm_q."),
        (".attention.k_norm.", ".attn.norm_k."),
        (".attention_norm1.", ".norm1." if plain else ".norm1.norm."),
        (".attention_norm2.", ".norm2."),
    ):
        name = name.replace(old, new)
    name = re.sub(r"\.feed_forward\.w(\d)\.", r".feed_forward.linear_\1.", name)
    name = re.sub(r"^final_layer\.adaLN_modulation\.1\.", "norm_out.linear_1.", name)
    name = re.sub(r"\.adaLN_modulation\.1\.", ".norm1.linear.", name)
    name = re.sub(r"^final_layer\.linear\.", "norm_out.linear_2.", name)
    name = re.sub(r"^t_embedder\.mlp\.0\.", "time_caption_embed.timestep_embedder.linear_1.", name)
    name = re.sub(r"^t_embedder\.mlp\.2\.", "time_caption_embed.timestep_embedder.linear_2.", name)
    name = re.sub(r"^cap_embedder\.", "time_caption_embed.caption_embedder.", name)
    return re.sub(r"^(clip_text_pooled_proj|time_text_embed)\.", r"time_caption_embed.\1.", name)


def gemma_file(file: Path, *, spiece: bytes | None = None, tokenizer: bool = False) -> Path:
    """ComfyUI's text encoder file: `model.*`, the tokenizer as bytes in a tensor."""
    weights = load_file(TINY / "text_encoder" / "model.safetensors")
    plain = {"model." + name.removeprefix("language_model.model."): value for name, value in weights.items()}
    return _save_encoder(file, plain, "text_encoder", spiece=spiece, tokenizer=tokenizer)


def jina_file(file: Path, *, spiece: bytes | None = None, tokenizer: bool = False) -> Path:
    """ComfyUI's Jina file: the adapter merged (here in float32, to be exact), names from `model.` on."""
    stored = load_file(TINY / "clip_model" / "model.safetensors")
    plain: Weights = {}
    for name, value in stored.items():
        short = "model." + name.removeprefix("text_model.transformer.roberta.")
        if name.endswith(".original"):
            stem = name.removesuffix("original")
            a, b = stored[f"{stem}0.lora_A"][0].float(), stored[f"{stem}0.lora_B"][0].float()
            merged = torch.addmm(value.float(), *((a, b) if "embeddings." in name else (b, a)))
            plain[short.removesuffix(".parametrizations.weight.original") + ".weight"] = merged
        elif "lora_" not in name:
            plain[short] = value
    return _save_encoder(file, plain, "clip_model", spiece=spiece, tokenizer=tokenizer)


def _save_encoder(file: Path, weights: Weights, part: str, *, spiece: bytes | None, tokenizer: bool) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if spiece is not None:
        weights["spiece_model"] = torch.frombuffer(bytearray(spiece), dtype=torch.uint8)
    save_file(weights, file)
    if tokenizer:
        beside = file.with_name(f"{file.name}.tokenizer")
        beside.mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(TINY / part / name, beside / name)
    return file


def flux_names(weights: Weights, levels: int = 4) -> Weights:
    """FLUX's own naming of an AutoencoderKL."""
    out: Weights = {}
    for name, value in weights.items():
        if ".attentions.0.to_" in name and name.endswith(".weight"):
            value = value[:, :, None, None]
        name = re.sub(
            r"^decoder\.up_blocks\.(\d)\.(resnets\.(\d)|upsamplers\.0)\.",
            lambda m: f"decoder.up.{levels - 1 - int(m[1])}.{'upsample' if m[3] is None else f'block.{m[3]}'}.",
            name,
        )
        for old, new in (
            (r"^encoder\.down_blocks\.(\d)\.resnets\.(\d)\.", r"encoder.down.\1.block.\2."),
            (r"^encoder\.down_blocks\.(\d)\.downsamplers\.0\.", r"encoder.down.\1.downsample."),
            (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
            (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
            (r"\.mid_block\.attentions\.0\.group_norm\.", ".mid.attn_1.norm."),
            (r"\.mid_block\.attentions\.0\.to_out\.0\.", ".mid.attn_1.proj_out."),
            (r"\.mid_block\.attentions\.0\.to_([qkv])\.", r".mid.attn_1.\1."),
            (r"\.conv_norm_out\.", ".norm_out."),
            (r"\.conv_shortcut\.", ".nin_shortcut."),
        ):
            name = re.sub(old, new, name)
        out[name] = value.contiguous()
    return out


def vae_file(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(flux_names(load_file(TINY / "vae" / "diffusion_pytorch_model.safetensors")), file)
    return file


def comfy_folder(root: Path) -> Path:
    """ComfyUI's models folder with NewBie in it and a few strangers beside."""
    (root / "diffusion_models").mkdir(parents=True)
    save_file(transformer(), root / "diffusion_models" / "NewBie-Image-Exp0.1-bf16.safetensors")
    save_file(
        {"double_blocks.0.img_attn.qkv.weight": torch.zeros(2)}, root / "diffusion_models" / "flux1-dev.safetensors"
    )
    gemma_file(root / "text_encoders" / "gemma_3_4b_it_bf16.safetensors", tokenizer=True)
    jina_file(root / "text_encoders" / "jina_clip_v2_bf16.safetensors", tokenizer=True)
    wide = {
        "model.layers.0.pre_feedforward_layernorm.weight": torch.zeros(256),
        "model.layers.0.self_attn.q_norm.weight": torch.zeros(4),
    }
    save_file(wide, root / "text_encoders" / "gemma_3_12b_it.safetensors")
    vae_file(root / "vae" / "ae.safetensors")
    return root


def diffusers_base(root: Path) -> Path:
    """As diffusers' pipeline keeps it: the tokenizers in folders of their own."""
    for part, ours in (("text_encoder", "text_encoder"), ("text_encoder_2", "clip_model"), ("vae", "vae")):
        shutil.copytree(TINY / ours, root / part)
    for encoder, place in (("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")):
        (root / place).mkdir()
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.move(root / encoder / name, root / place / name)
    (root / "transformer").mkdir()
    save_file(diffusers_names(transformer()), root / "transformer" / "diffusion_pytorch_model.safetensors")
    return root
