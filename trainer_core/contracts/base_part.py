"""The four parts of a base model, as commands, folders and settings call them."""

import os
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class BasePart:
    """One part.

    Attributes:
        kind: what commands and jobs call it.
        folder: its folder in the official layout; reports call it so.
        diffusers: its folder as diffusers' own pipeline keeps it; tokenizers lie in folders beside.
        option: the setting that names it.
        holds: what lies in the folder.
    """

    kind: str
    folder: str
    diffusers: str
    option: str
    holds: str


BASE_PARTS = (
    BasePart(
        kind="transformer",
        folder="transformer",
        diffusers="transformer",
        option="transformer_path",
        holds="NextDiT: config.json, diffusion_pytorch_model.safetensors",
    ),
    BasePart(
        kind="gemma",
        folder="text_encoder",
        diffusers="text_encoder",
        option="gemma_model_path",
        holds="Gemma3 with its tokenizer: config.json, model*.safetensors, tokenizer.json",
    ),
    BasePart(
        kind="clip",
        folder="clip_model",
        diffusers="text_encoder_2",
        option="clip_model_path",
        holds="Jina CLIP v2 with its tokenizer: config.json, model.safetensors, tokenizer.json",
    ),
    BasePart(
        kind="vae",
        folder="vae",
        diffusers="vae",
        option="vae_path",
        holds="AutoencoderKL: config.json, diffusion_pytorch_model.safetensors",
    ),
)
BY_KIND = MappingProxyType({part.kind: part for part in BASE_PARTS})
BY_FOLDER = MappingProxyType({part.folder: part for part in BASE_PARTS})
PART_OPTIONS = tuple(part.option for part in BASE_PARTS)
# All settings that name a base.
BASE_OPTIONS = ("base_model_path", *PART_OPTIONS)


def is_elsewhere(text: str) -> bool:
    """Whether a part, as written in a setting, is not on this disk: a hub id, or a mistake."""
    return not os.path.exists(text)
