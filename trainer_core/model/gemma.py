"""Gemma3 as NewBie uses it: the language model only, up to its last but one hidden state.

transformers loads a multimodal checkpoint into its text model with *random weights and only a warning*; here
the model is built from its config and filled strictly, whatever prefix the tensors carry.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Gemma3TextConfig, Gemma3TextModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding

from trainer_core.contracts.errors import UserError
from trainer_core.model.tokens import load_tokenizer, read_config, tokenize
from trainer_core.model.weights import TensorSource, load_strict, mismatch, open_tensors

# Every way in which transformers' versions and ComfyUI have written the same language model.
PREFIXES = ("language_model.model.", "model.language_model.", "language_model.", "model.", "")
# Parts of a checkpoint that are not the language model's body.
IGNORED = re.compile(r"^(model\.|language_model\.)?(vision_tower\.|multi_modal_projector\.|lm_head\.|spiece_model$)")


@dataclass(frozen=True, kw_only=True)
class GemmaFeatures:
    """Text features for the transformer.

    hidden:    [B, L, D] in the encoder's dtype; rows beyond a caption's length hold no information.
    mask:      [B, L] int64, 1 on the caption's tokens, which come first, 0 on the padding.
    truncated: one flag per text, True where the token limit cut it.
    """

    hidden: Tensor
    mask: Tensor
    truncated: tuple[bool, ...]


class GemmaEncoder:
    """Tokenizer and language model; made by `load_gemma`."""

    def __init__(self, model: Gemma3TextModel, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    @torch.no_grad()
    def encode(self, texts: list[str], max_tokens: int = 512, *, pad_to_multiple_of: int | None = 8) -> GemmaFeatures:
        """hidden_states[-2] of the full model for each text: BOS first, no chat template, right padding.

        The causal mask makes a caption's features independent of its padding.
        """
        tokens = tokenize(self.tokenizer, texts, max_tokens, pad_to_multiple_of=pad_to_multiple_of)
        if not bool((tokens.ids[:, 0] == self.tokenizer.bos_token_id).all()):
            raise UserError(
                "tokenizer_invalid",
                "The Gemma tokenizer does not put its <bos> token in front of a text, as the base expects.",
                ["Use the tokenizer files that came with the model."],
            )
        device = self.model.embed_tokens.weight.device
        ids, mask = tokens.ids.to(device), tokens.mask.to(device)
        output = self.model(input_ids=ids, attention_mask=mask, use_cache=False)
        return GemmaFeatures(hidden=output.last_hidden_state, mask=mask, truncated=tokens.truncated)


def load_gemma(folder: Path, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> GemmaEncoder:
    """Loads config, tokenizer and weights from one folder, without network and without remote code.

    Raises UserError: "weights_missing", "weights_mismatch", "config_unreadable", "wrong_model",
    "tokenizer_missing".
    """
    config = _text_config(folder)
    depth = config.num_hidden_layers
    # hidden_states[-2] is the raw output of the last but one layer: neither the last nor the norm is built.
    config.num_hidden_layers = depth - 1
    config.layer_types = (config.layer_types or [])[: depth - 1]
    config._attn_implementation = "sdpa"
    with torch.device("meta"):
        model = Gemma3TextModel(config)
    model.register_module("norm", nn.Identity())
    with open_tensors(folder) as source:
        prefix = _prefix(source)
        _require_last_layer(source, prefix, depth)
        rename = _renamer(prefix, last_layer=depth - 1)
        load_strict(
            model,
            source,
            what="Gemma3 language model",
            rename=rename,
            dtype=dtype,
            device=device,
            rebuild_buffers=_rebuild_buffers,
        )
    return GemmaEncoder(model.eval(), load_tokenizer(folder, "Gemma"))


def _text_config(folder: Path) -> Gemma3TextConfig:
    """The language model's part of a multimodal or text-only config.json."""
    values = read_config(folder)
    kind = values.get("model_type")
    if kind not in {"gemma3", "gemma3_text"}:
        raise UserError(
            "wrong_model",
            f"{folder / 'config.json'} describes a '{kind}' model; NewBie's text encoder is a 'gemma3'.",
            ["Check that text_encoder/ holds Gemma3 (google/gemma-3-4b-it)."],
        )
    return Gemma3TextConfig.from_dict(values.get("text_config", values))


def _prefix(source: TensorSource) -> str:
    names = set(source.names())
    for prefix in PREFIXES:
        if f"{prefix}embed_tokens.weight" in names:
            return prefix
    raise mismatch(
        "Gemma3 language model",
        source.location,
        missing=["embed_tokens.weight"],
        unexpected=[name for name in source.names() if not IGNORED.match(name)],
    )


def _require_last_layer(source: TensorSource, prefix: str, depth: int) -> None:
    """The last layer is not needed, but a file without it is not the file that its config describes."""
    names = set(source.names())
    first = f"{prefix}layers.0."
    last = [
        f"{prefix}layers.{depth - 1}.{name.removeprefix(first)}" for name in sorted(names) if name.startswith(first)
    ]
    missing = [name for name in [*last, f"{prefix}norm.weight"] if name not in names]
    if missing:
        raise mismatch("Gemma3 language model", source.location, missing=missing)


def _renamer(prefix: str, *, last_layer: int) -> Callable[[str], str | None]:
    unused = (f"layers.{last_layer}.", "norm.")

    def rename(stored: str) -> str | None:
        if IGNORED.match(stored):
            return None
        name = stored.removeprefix(prefix) if stored.startswith(prefix) else stored
        return None if name.startswith(unused) else name

    return rename


def _rebuild_buffers(model: nn.Module) -> None:
    """Rotary tables and the embedding scale are computed, never stored."""
    assert isinstance(model, Gemma3TextModel)
    model.rotary_emb = Gemma3RotaryEmbedding(model.config)
    embedding = model.embed_tokens
    embedding.embed_scale = nn.Buffer(torch.tensor(embedding.scalar_embed_scale), persistent=False)
