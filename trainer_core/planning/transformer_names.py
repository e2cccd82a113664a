"""The transformer's tensors under their official names, whatever names a file gives them.

Two namings exist: the official one and diffusers' Lumina2 naming, each behind any prefix. A file that is something
else is refused by name: what it was taken for is part of the message.
"""

import re
from collections.abc import Collection, Mapping

from trainer_core.planning.tensor_names import DIFFUSERS_MARK, bare_names, is_newbie, not_newbie
from trainer_core.planning.tensor_shapes import mismatch
from trainer_core.planning.transformer_config import WHAT

_BLOCK = r"((?:layers|noise_refiner|context_refiner)\.\d+)"
_MODULATED = r"((?:layers|noise_refiner)\.\d+)"
DIFFUSERS_RENAMES = tuple(
    (re.compile(rf"^{pattern}$"), replacement)
    for pattern, replacement in (
        (rf"{_BLOCK}\.attn\.to_out\.0\.weight", r"\1.attention.out.weight"),
        (rf"{_BLOCK}\.attn\.norm_([qk])\.weight", r"\1.attention.\2_norm.weight"),
        (rf"{_BLOCK}\.feed_forward\.linear_([123])\.weight", r"\1.feed_forward.w\2.weight"),
        (rf"{_MODULATED}\.norm1\.norm\.weight", r"\1.attention_norm1.weight"),
        (rf"{_MODULATED}\.norm1\.linear\.(weight|bias)", r"\1.adaLN_modulation.1.\2"),
        (r"(context_refiner\.\d+)\.norm1\.weight", r"\1.attention_norm1.weight"),
        (rf"{_BLOCK}\.norm2\.weight", r"\1.attention_norm2.weight"),
        (rf"{_BLOCK}\.(ffn_norm[12])\.weight", r"\1.\2.weight"),
        (r"time_caption_embed\.timestep_embedder\.linear_1\.(weight|bias)", r"t_embedder.mlp.0.\1"),
        (r"time_caption_embed\.timestep_embedder\.linear_2\.(weight|bias)", r"t_embedder.mlp.2.\1"),
        (r"time_caption_embed\.caption_embedder\.0\.weight", "cap_embedder.0.weight"),
        (r"time_caption_embed\.caption_embedder\.1\.(weight|bias)", r"cap_embedder.1.\1"),
        (r"time_caption_embed\.(clip_text_pooled_proj\.0\.weight)", r"\1"),
        (r"time_caption_embed\.(clip_text_pooled_proj\.1\.(?:weight|bias))", r"\1"),
        (r"time_caption_embed\.(time_text_embed\.1\.(?:weight|bias))", r"\1"),
        (r"norm_out\.linear_1\.(weight|bias)", r"final_layer.adaLN_modulation.1.\1"),
        (r"norm_out\.linear_2\.(weight|bias)", r"final_layer.linear.\1"),
        (r"(x_embedder\.(?:weight|bias))", r"\1"),
    )
)
QKV = re.compile(rf"^{_BLOCK}\.attn\.to_([qkv])\.weight$")


def official_parts(names: Collection[str], location: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Official name -> stored names (to be joined on rows), and a tensor of ones -> its twin in shape.

    Recognises the naming; names that it does not know pass through, for the strict loader to report.

    Raises UserError: "wrong_model" (another model), "weights_ambiguous" (two transformers in one file),
    "weights_mismatch" (half of a query, key and value).
    """
    bare = bare_names(names, location)
    if not is_newbie(bare):
        raise not_newbie(bare or names, location)
    if DIFFUSERS_MARK in bare:
        return _from_diffusers(bare, location)
    return {name: [original] for name, original in bare.items()}, {}


def _from_diffusers(bare: Mapping[str, str], location: str) -> tuple[dict[str, list[str]], dict[str, str]]:
    parts: dict[str, list[str]] = {}
    split: dict[str, dict[str, str]] = {}
    for name, original in sorted(bare.items()):
        if found := QKV.match(name):
            split.setdefault(found[1], {})[found[2]] = original
        else:
            parts[_renamed(name)] = [original]
    missing = [f"{block}.attn.to_{letter}.weight" for block in split for letter in "qkv" if letter not in split[block]]
    if missing:
        raise mismatch(WHAT, location, missing=missing)
    for block, letters in split.items():
        parts[f"{block}.attention.qkv.weight"] = [letters[letter] for letter in "qkv"]
    # diffusers drops this norm, which no forward pass applies.
    twin = "layers.0.attention_norm1.weight"
    return parts, {"norm_final.weight": twin} if twin in parts else {}


def _renamed(name: str) -> str:
    for pattern, replacement in DIFFUSERS_RENAMES:
        if pattern.match(name):
            return pattern.sub(replacement, name)
    return name
