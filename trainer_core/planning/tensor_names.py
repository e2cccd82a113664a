"""What the names of stored tensors say: which model they are, behind which prefix, and whether they are compressed.

Pure: names in, words out. The loaders and the check of a base that loads nothing go by the same tables.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.wording import and_more, cut_short

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
# Uncompressed numbers, as torch and as safetensors call them.
TRAINABLE = frozenset({"float64", "float32", "float16", "bfloat16", "F64", "F32", "F16", "BF16"})
_NAMES_SHOWN = 8
_NAME_LENGTH = 200

# In every naming of the model, and of nothing that lies beside it in one file.
ANCHOR = "x_embedder.weight"
OFFICIAL_MARK = "cap_embedder.0.weight"
DIFFUSERS_MARK = "time_caption_embed.caption_embedder.0.weight"
# What torch.compile, FSDP and activation checkpointing put in the middle of names.
WRAPPING = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
# Text encoders and VAE of an all-in-one file, and a second, averaged copy of the model.
OTHER_PARTS = (
    "text_encoders.",
    "text_encoder.",
    "text_encoder_2.",
    "clip_model.",
    "cond_stage_model.",
    "conditioner.",
    "vae.",
    "first_stage_model.",
    "model_ema.",
)

# Parts of a checkpoint that are not Gemma3's language model, or not Jina's text tower.
NOT_GEMMA = re.compile(
    r"^(model\.|language_model\.)?(vision_tower\.|vision_model\.|multi_modal_projector\.|lm_head\.|spiece_model$)"
)
NOT_JINA = re.compile(r"^(vision_model\.|visual_projection\.|logit_scale$|spiece_model$)")
# How Jina's official file names a matrix that has an adapter beside it, and the adapter's two halves.
JINA_WEIGHT = ".parametrizations.weight.original"
JINA_ADAPTER_A = ".parametrizations.weight.0.lora_A"
JINA_ADAPTER_B = ".parametrizations.weight.0.lora_B"
VAE_PREFIXES = ("first_stage_model.", "vae.", "")


def bare_vae_names(names: Collection[str]) -> dict[str, str] | None:
    """Name without prefix -> stored name of a VAE's tensors; None where there is no VAE."""
    prefix = next((prefix for prefix in VAE_PREFIXES if f"{prefix}decoder.conv_in.weight" in names), None)
    if prefix is None:
        return None
    return {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}


def refuse_quantised(location: str, names: Mapping[str, str], dtype_of: Callable[[str], str]) -> None:
    """Raises UserError("weights_quantised") where the names or the dtypes show it.

    names: shown -> stored. dtype_of: a stored name -> its dtype in torch's or safetensors' word.
    """
    marks = [name for name in names if QUANTISED.search(name)]
    if marks:
        raise _quantised(location, f"it holds {shorten(marks)}")
    for name, stored in names.items():
        if name.endswith((".weight", ".bias")) and (dtype := dtype_of(stored)) not in TRAINABLE:
            raise _quantised(location, f"{name} is stored as {dtype}")


def _quantised(location: str, found: str) -> UserError:
    return UserError("weights_quantised", f"{location} is a quantised checkpoint: {found}.", [ADVICE])


def looks_like(names: Iterable[str]) -> str:
    """What tensors of these names are, as half a sentence: the first family that a name tells of, or else the names."""
    listed = sorted(names)
    for pattern, family in FAMILIES:
        if any(pattern.search(name) for name in listed):
            return f"it looks like {family}"
    return f"its tensors are {shorten(listed)}"


def not_newbie(names: Iterable[str], location: str) -> UserError:
    """The error for a file that is not NewBie's transformer."""
    return UserError(
        "wrong_model",
        f"{location} is not a NewBie transformer: {looks_like(names)}.",
        ["Use NewBie-image-Exp0.1: its transformer folder, or the file from ComfyUI's diffusion_models folder."],
    )


def is_newbie(bare: Collection[str]) -> bool:
    """Whether names without prefix are NewBie's transformer: Lumina2 with a pooled CLIP vector."""
    pooled = "clip_text_pooled_proj.0.weight"
    return (OFFICIAL_MARK in bare and pooled in bare) or (
        DIFFUSERS_MARK in bare and f"time_caption_embed.{pooled}" in bare
    )


def bare_names(names: Iterable[str], location: str) -> dict[str, str]:
    """Name without wrapping and prefix -> stored name; of the other parts of an all-in-one file nothing is kept.

    Raises UserError("weights_ambiguous").
    """
    unwrapped = [(WRAPPING.sub("", name), name) for name in names]
    own = [(name, stored) for name, stored in unwrapped if not name.startswith(OTHER_PARTS)]
    prefix = _prefix([name for name, _ in own], location)
    bare: dict[str, str] = {}
    for name, stored in own:
        if (short := name.removeprefix(prefix)) in bare:
            raise UserError(
                "weights_ambiguous",
                f"{location}: '{stored}' and '{bare[short]}' are two names for the same tensor.",
                ["Keep one version of the weights in this file."],
            )
        bare[short] = stored
    return bare


def _prefix(names: Sequence[str], location: str) -> str:
    """What stands before every name of the transformer; "" where nothing looks like one."""
    prefixes = [name.removesuffix(ANCHOR) for name in names if name == ANCHOR or name.endswith(f".{ANCHOR}")]
    if len(prefixes) > 1:
        raise UserError(
            "weights_ambiguous",
            f"{location} holds {len(prefixes)} transformers, under {shorten([repr(p) for p in sorted(prefixes)])}.",
            ["Save the one that you want to a file of its own."],
        )
    return prefixes[0] if prefixes else ""


def shorten(names: Sequence[str]) -> str:
    """Up to eight names, cut where a file makes them endless, then how many more there are."""
    return and_more(names, _NAMES_SHOWN, lambda name: cut_short(name, _NAME_LENGTH))
