"""The names inside LoRA files: which module of NewBie's transformer a key means, or why it means none.

Pure functions over strings. A key is a stem (prefix + module) and a suffix that tells its role; modules are named as
in the official checkpoint, dotted, with dots turned into underscores, or as Diffusers names them.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from trainer_core.contracts.wording import and_more, cut_short
from trainer_core.planning.tensor_names import WRAPPING

_NAMES_SHOWN = 6
_NAME_LENGTH = 100

_BLOCK_PARTS = (
    "attention.qkv",
    "attention.out",
    "feed_forward.w1",
    "feed_forward.w2",
    "feed_forward.w3",
    "adaLN_modulation.1",
)
_SINGLE_PARTS = (
    "x_embedder",
    "t_embedder.mlp.0",
    "t_embedder.mlp.2",
    "cap_embedder.1",
    "clip_text_pooled_proj.1",
    "time_text_embed.1",
    "final_layer.linear",
    "final_layer.adaLN_modulation.1",
)
# Diffusers' Lumina 2 names, and the split forms of the fused projection: name -> (official, its rows).
_BLOCK_ALIASES = {
    **{f"{attention}.to_{rows}": ("attention.qkv", rows) for attention in ("attn", "attention") for rows in "qkv"},
    "attn.to_out.0": ("attention.out", ""),
    "attention.to_out.0": ("attention.out", ""),
    "feed_forward.linear_1": ("feed_forward.w1", ""),
    "feed_forward.linear_2": ("feed_forward.w2", ""),
    "feed_forward.linear_3": ("feed_forward.w3", ""),
    "norm1.linear": ("adaLN_modulation.1", ""),
}
_SINGLE_ALIASES = {
    "time_caption_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_caption_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_caption_embed.caption_embedder.1": "cap_embedder.1",
    "time_caption_embed.clip_text_pooled_proj.1": "clip_text_pooled_proj.1",
    "time_caption_embed.time_text_embed.1": "time_text_embed.1",
    "norm_out.linear_1": "final_layer.adaLN_modulation.1",
    "norm_out.linear_2": "final_layer.linear",
}
_TO_DIFFUSERS = MappingProxyType(
    {
        **{value: name for name, value in _BLOCK_ALIASES.items() if not name.startswith("attention.")},
        **{(part, ""): name for name, part in _SINGLE_ALIASES.items()},
    }
)


def _both_spellings(table: Mapping[str, tuple[str, str]]) -> Mapping[str, tuple[str, str]]:
    return MappingProxyType({**{name.replace(".", "_"): value for name, value in table.items()}, **table})


_IN_BLOCK = _both_spellings({**{part: (part, "") for part in _BLOCK_PARTS}, **_BLOCK_ALIASES})
_SINGLE = _both_spellings(
    {**{part: (part, "") for part in _SINGLE_PARTS}, **{name: (part, "") for name, part in _SINGLE_ALIASES.items()}}
)
_BLOCK = re.compile(r"(layers|noise_refiner|context_refiner)[._](0|[1-9]\d{0,3})[._](.+)")
_PREFIXES = re.compile(r"^(?:(?:base_model\.model|diffusion_model|transformer|unet|module|model)\.)+")
_FLAT_PREFIXES = re.compile(r"^(?:lora_unet_|lora_transformer_|lycoris_)")

# The factors of a LoKr, each whole or as a product a b.
LOKR_ROLES = ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b")
_ROLES = (
    ("down", re.compile(r"(?:\.lora_(?:down|A)|[._]lora\.down|\.lora_linear_layer\.down)(?:\.[\w-]+)?(?:\.weight)?$")),
    ("up", re.compile(r"(?:\.lora_(?:up|B)|[._]lora\.up|\.lora_linear_layer\.up)(?:\.[\w-]+)?(?:\.weight)?$")),
    ("alpha", re.compile(r"\.alpha$")),
    ("magnitude", re.compile(r"\.(?:dora_scale|lora_magnitude_vector(?:\.[\w-]+)?(?:\.weight)?)$")),
    *((role, re.compile(rf"\.lokr_{role}$")) for role in LOKR_ROLES),
)
_OTHER_KINDS = (
    ("a LoKr for convolutions (lokr_t2)", re.compile(r"[._]lokr_t2(?:\.|$)")),
    ("a LoHa", re.compile(r"[._]hada_")),
    ("an OFT or BOFT", re.compile(r"[._]b?oft_")),
    ("an (IA)3", re.compile(r"[._]ia3_|\.on_input$")),
    ("a GLoRA", re.compile(r"\.[ab][12]\.weight$")),
    ("a convolution LoRA in Tucker form (lora_mid)", re.compile(r"\.lora_mid(?:\.|$)")),
    ("an AdaLoRA", re.compile(r"\.(?:lora_E|ranknum)(?:\.|$)")),
    ("a VeRA", re.compile(r"[._]vera_")),
    ("a LoRA with trained biases", re.compile(r"\.lora_(?:A|B|up|down)(?:\.[\w-]+)?\.bias$")),
    ("an embedding LoRA", re.compile(r"\.lora_embedding_[AB](?:\.|$)")),
    ("a LoRA with whole modules beside it (modules_to_save)", re.compile(r"\.modules_to_save\.")),
    ("a set of whole weight differences (.diff)", re.compile(r"\.(?:diff|diff_b|set_weight|w_norm|b_norm)$")),
    ("a LoRA that changes the base's shapes (reshape_weight)", re.compile(r"\.reshape_weight$")),
)
_ANY_OTHER_KIND = re.compile("|".join(mark.pattern for _, mark in _OTHER_KINDS))
# Matched against stems with dots turned into underscores; the first that matches names the model.
_OTHER_MODELS = (
    ("SDXL", re.compile(r"(down|up|input|output|mid|middle)_blocks?_.*transformer_blocks_[2-9]|lora_te2")),
    ("Stable Diffusion 1.5 or SDXL", re.compile(r"(down|up|input|output)_blocks_|mid_block_|middle_block_")),
    ("AuraFlow", re.compile(r"joint_transformer_blocks")),
    ("HiDream", re.compile(r"(double|single)_stream_blocks")),
    ("Chroma", re.compile(r"distilled_guidance_layer")),
    ("FLUX or HunyuanVideo", re.compile(r"double_blocks|single_blocks|single_transformer_blocks")),
    ("Stable Diffusion 3", re.compile(r"joint_blocks")),
    ("Qwen-Image", re.compile(r"transformer_blocks_\d+_(img|txt)_m(lp|od)")),
    ("FLUX, Qwen-Image or Stable Diffusion 3", re.compile(r"transformer_blocks_\d+_(attn_(to|add)_|ff_)")),
    ("PixArt, Sana or LTX-Video", re.compile(r"transformer_blocks_\d+_attn[12]|adaln_single")),
    ("Anima or Cosmos", re.compile(r"blocks_\d+_(self_attn_[qkvo]\w*_proj|adaln_modulation)")),
    ("Wan", re.compile(r"blocks_\d+_(self_attn|cross_attn|ffn_\d)")),
    ("a language model", re.compile(r"^(base_model_model_)?model_layers_\d+_(self_attn|mlp)_")),
)
_TEXT_ENCODER = re.compile(
    r"(?:^|[._])(?:lora_te\d*|text_encoders?(?:_\d)?|gemma\w*|jina\w*|clip_model|clip_[lgh]|text_model|t5xxl"
    r"|language_model|conditioner)(?:[._]|$)"
)
_PLAIN_WEIGHT = re.compile(r"\.(?:weight|bias)$")


@dataclass(frozen=True, slots=True)
class Key:
    """What one tensor of a LoRA file is.

    Attributes:
        rows: q, k, v of a split qkv, else "".
        role: down, up, alpha, magnitude or one of LOKR_ROLES.
    """

    module: str
    rows: str
    role: str


@dataclass(frozen=True, kw_only=True)
class LoraListing:
    """All names of a file, sorted into what is understood and why the rest is not; `reason` is "" for nothing."""

    keys: Mapping[str, Key]
    reason: str
    known_kind: bool  # the reason is a kind of file that exists, not damage


def official_module(stem: str) -> tuple[str, str] | None:
    """(official dotted module, rows) of a key's stem, whatever its prefix and spelling; None for no such module."""
    name = _FLAT_PREFIXES.sub("", _PREFIXES.sub("", WRAPPING.sub("", stem)))
    if match := _BLOCK.fullmatch(name):
        part, rows = _IN_BLOCK.get(match[3], ("", ""))
        # Context blocks are not modulated.
        if not part or (match[1] == "context_refiner" and part == "adaLN_modulation.1"):
            return None
        return f"{match[1]}.{match[2]}.{part}", rows
    return _SINGLE.get(name)


def diffusers_module(module: str, rows: str = "") -> str | None:
    """Diffusers' name of an official module, of some rows of its qkv; None for the whole qkv, which it has split."""
    block = _BLOCK.fullmatch(module)
    part = block[3] if block else module
    name = _TO_DIFFUSERS.get((part, rows), None if part == "attention.qkv" else part)
    return f"{block[1]}.{block[2]}.{name}" if block and name else name


def in_diffusers_names(keys: Mapping[str, Key]) -> bool:
    """Whether every name of a file is what diffusers itself would write."""
    return all(
        name.startswith(f"transformer.{diffusers_module(key.module, key.rows)}.lora_") for name, key in keys.items()
    )


def read_names(names: Iterable[str]) -> LoraListing:
    """Sort a file's names. The reason is one clause: the kind of adapter, the other model, or the names."""
    keys: dict[str, Key] = {}
    kinds: dict[str, list[str]] = {}
    strangers: list[str] = []
    roleless: list[str] = []
    for name in names:
        if _ANY_OTHER_KIND.search(name):
            kind = next(kind for kind, mark in _OTHER_KINDS if mark.search(name))
            kinds.setdefault(kind, []).append(name)
            continue
        role, match = next(((role, hit) for role, mark in _ROLES if (hit := mark.search(name))), ("", None))
        found = official_module(name[: match.start()]) if match else None
        if found is not None:
            keys[name] = Key(module=found[0], rows=found[1], role=role)
        else:
            (strangers if match else roleless).append(name)
    if kinds:
        return LoraListing(keys=keys, reason=_kinds(kinds), known_kind=True)
    known, reason = _strange(strangers, roleless, len(keys))
    return LoraListing(keys=keys, reason=reason, known_kind=known)


def _kinds(kinds: Mapping[str, Sequence[str]]) -> str:
    return "; ".join(f"it is {kind}: {listing(names)}" for kind, names in kinds.items())


def _strange(strangers: Sequence[str], roleless: Sequence[str], fitting: int) -> tuple[bool, str]:
    """(whether it is a known kind of file, the reason) for names that mean no module, and names without a role.

    Other models share a few module names with NewBie (x_embedder), so the majority decides.
    """
    flat = [name.replace(".", "_") for name in strangers]
    for model, mark in _OTHER_MODELS:
        if fitting <= len(strangers) and any(mark.search(name) for name in flat):
            return True, f"it looks like a LoRA for {model}, not for NewBie: {listing(strangers)}"
    encoders = [name for name in strangers if _TEXT_ENCODER.search(name)]
    if encoders:
        return True, f"it changes text encoders, which are not trained here: {listing(encoders)}"
    if strangers:
        return False, f"NewBie's transformer has no such modules: {listing(strangers)}"
    if len(roleless) > fitting and all(_PLAIN_WEIGHT.search(name) for name in roleless):
        return True, f"it holds whole weights, so it is a model and not a LoRA: {listing(roleless)}"
    if roleless:
        return False, f"it holds names that are not understood: {listing(roleless)}"
    return False, "" if fitting else "it holds no LoRA tensors"


def listing(names: Sequence[str]) -> str:
    """Up to six names, each shortened and free of control characters, then how many more there are."""
    return and_more(names, _NAMES_SHOWN, _printable)


def _printable(name: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in cut_short(name, _NAME_LENGTH))
