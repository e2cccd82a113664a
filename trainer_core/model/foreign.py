"""What a weight file is that is not the part that was asked for: other models, LoRAs, compressed weights."""

import re
from collections.abc import Iterable, Mapping

import torch

from trainer_core.contracts.errors import UserError
from trainer_core.model.weights import OpenFiles, shorten

# Tensor names that only one family has; tried in this order on every name.
FAMILIES = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"(^|\.)mixer\.Wqkv\.|text_model\.transformer\.roberta\.", "a Jina text encoder"),
        (
            r"lora_(A|B|up|down|unet|te)|\.lokr_|\.hada_|\.dora_scale$|\.lora\.",
            "a LoRA or LyCORIS file, not a base model",
        ),
        (r"(^|\.)(x_pad_token|cap_pad_token|all_x_embedder\.)", "Z-Image"),
        (r"(^|\.)double_blocks\.\d+\.img_attn\.|(^|\.)single_transformer_blocks\.\d+\.", "FLUX"),
        (r"(^|\.)distilled_guidance_layer\.", "Chroma"),
        (r"(^|\.)transformer_blocks\.\d+\.img_mod\.", "Qwen-Image"),
        (r"(^|\.)joint_blocks\.\d+\.|(^|\.)pos_embed\.proj\.weight$", "Stable Diffusion 3"),
        (r"(^|\.)(label_emb\.0\.0|add_embedding\.linear_1)\.weight$", "SDXL"),
        (
            r"(^|\.)input_blocks\.0\.0\.weight$|(^|(?<!encoder)\.)down_blocks\.0\.resnets\.0\.conv1\.weight$",
            "Stable Diffusion 1.5, 2 or SDXL",
        ),
        (r"(^|\.)double_layers\.\d+\.|(^|\.)adaln_single\.", "AuraFlow or PixArt"),
        (r"(^|\.)blocks\.\d+\.adaln_modulation_self_attn\.", "Cosmos or Anima"),
        (r"(^|\.)blocks\.\d+\.cross_attn\.", "Wan"),
        (r"(^|\.)pre_feedforward_layernorm\.weight$", "a Gemma text encoder"),
        (r"(^|\.)self_attn\.q_proj\.weight$", "a language model or text encoder"),
        (r"(^|\.)text_model\.encoder\.layers\.", "a CLIP text encoder"),
        (r"(^|\.)(block\.0\.layer\.0\.SelfAttention)\.", "a T5 text encoder"),
        (r"(^|\.)decoder\.conv_in\.weight$", "a VAE"),
        (r"(^|\.)(cap_embedder|caption_embedder)\.0\.weight$", "Lumina Image 2 (no clip_text_pooled_proj)"),
    )
)
# Companions of a compressed weight: fp8 scales (ComfyUI, compressed-tensors), bitsandbytes, GPTQ/AWQ, Nunchaku, quanto.
QUANTISED = re.compile(
    r"\.(scale_weight|weight_scale|weight_scale_inv|scale_input|input_scale|comfy_quant|absmax|quant_map"
    r"|nested_absmax|quant_state\..+|SCB|qweight|qzeros|g_idx|weight_packed|wscales|smooth_factor"
    r"|weight\._data|weight\._scale|weight_format)$|(^|\.)scaled_fp8$"
)
ADVICE = "Use the bf16 (or fp16, fp32) version of these weights: training needs the uncompressed numbers."


def refuse_quantised(files: OpenFiles, names: Mapping[str, str]) -> None:
    """Raises UserError("weights_quantised") where the names or the dtypes show it. `names`: shown -> stored."""
    marks = [name for name in names if QUANTISED.search(name)]
    if marks:
        raise _quantised(files.location, f"it holds {shorten(marks)}")
    for name, stored in names.items():
        if name.endswith((".weight", ".bias")) and not _trainable(files.dtype(stored)):
            raise _quantised(files.location, f"{name} is stored as {str(files.dtype(stored)).removeprefix('torch.')}")


def _trainable(dtype: torch.dtype) -> bool:
    return dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def _quantised(location: str, found: str) -> UserError:
    return UserError("weights_quantised", f"{location} is a quantised checkpoint: {found}.", [ADVICE])


def family_of(names: Iterable[str]) -> str | None:
    """The first family that a name tells of, None where all names are unknown."""
    listed = list(names)
    for pattern, family in FAMILIES:
        if any(pattern.search(name) for name in listed):
            return family
    return None


def not_newbie(names: Iterable[str], location: str) -> UserError:
    """The error for a file that is not NewBie's transformer, with what it is, or else its first names."""
    listed = sorted(names)
    family = family_of(listed)
    found = f"it looks like {family}" if family else f"its tensors are {shorten(listed)}"
    return UserError(
        "wrong_model",
        f"{location} is not a NewBie transformer: {found}.",
        ["Use NewBie-image-Exp0.1: its transformer folder, or the file from ComfyUI's diffusion_models folder."],
    )
