"""Gemma3 as NewBie uses it: the language model only, up to its last but one hidden state.

transformers loads a multimodal checkpoint into its text model with *random weights and only a warning*; here
the model is built from its config and filled strictly, whatever prefix the tensors carry.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor, nn
from transformers import Gemma3TextConfig, Gemma3TextModel
from transformers.models.gemma3.modeling_gemma3 import Gemma3RotaryEmbedding

from trainer_core.contracts.errors import UserError
from trainer_core.model.part_tokenizer import GEMMA, part_tokenizer
from trainer_core.model.quantised import Quantising
from trainer_core.model.renamed import RenamedTensors
from trainer_core.model.tokens import tokenize
from trainer_core.model.weights import OpenFiles, TensorSource, load_strict, open_tensors, refuse_quantised
from trainer_core.planning.part_configs import stated_gemma_config
from trainer_core.planning.tensor_names import NOT_GEMMA
from trainer_core.planning.tensor_shapes import count_of, length_of, mismatch

# Every way in which transformers' versions and ComfyUI have written the same language model.
PREFIXES = ("language_model.model.", "model.language_model.", "language_model.", "model.", "")
# Of gemma-3-4b-it (and its larger sisters); no tensor states them.
FULL_EVERY = 6
SLIDING_WINDOW = 1024
ROPE_FACTOR = 8.0


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


def load_gemma(
    path: Path, *, dtype: torch.dtype, device: torch.device | str = "cpu", quantise: str = "no"
) -> GemmaEncoder:
    """Loads config, tokenizer and weights from a folder or a single file, without network and without remote code.

    quantise: "no", "int8" or "nf4", how the layers' linear weights are held (the embeddings stay exact).

    Raises UserError: "weights_missing", "weights_mismatch", "weights_quantised", "config_unreadable", "wrong_model",
    "tokenizer_missing", "tokenizer_invalid".
    """
    stated = stated_gemma_config(path) if path.is_dir() else None
    with open_tensors(path) as source:
        refuse_quantised(source, {name: name for name in source.names() if not NOT_GEMMA.match(name)})
        prefix = _prefix(source)
        config = _text_config(gemma_config(source) if stated is None else stated, path)
        depth = config.num_hidden_layers
        # Before anything is built: a config that speaks of a billion layers must not be believed.
        _require_last_layer(source, prefix, depth)
        # hidden_states[-2] is the raw output of the last but one layer: neither the last nor the norm is built.
        config.num_hidden_layers = depth - 1
        config.layer_types = (config.layer_types or [])[: depth - 1]
        config._attn_implementation = "sdpa"
        with torch.device("meta"):
            model = Gemma3TextModel(config)
        model.register_module("norm", nn.Identity())
        load_strict(
            model,
            source,
            what="Gemma3 language model",
            rename=_renamer(prefix, last_layer=depth - 1),
            dtype=dtype,
            device=device,
            rebuild_buffers=_rebuild_buffers,
            place=None if quantise == "no" else Quantising(quantise),
        )
        tokenizer = part_tokenizer(path, GEMMA, source, config.vocab_size)
    return GemmaEncoder(model.eval(), tokenizer)


def load_gemma_tokenizer(path: Path) -> Any:
    """The tokenizer that `load_gemma` would use, without the weights. Raises UserError as it does."""
    stated = stated_gemma_config(path) if path.is_dir() else None
    with open_tensors(path) as source:
        config = _text_config(gemma_config(source) if stated is None else stated, path)
        return part_tokenizer(path, GEMMA, source, config.vocab_size)


def _text_config(values: Mapping[str, Any], path: Path) -> Gemma3TextConfig:
    try:
        return Gemma3TextConfig.from_dict(dict(values))
    except (StrictDataclassError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise UserError(
            "config_unreadable",
            f"{path}: these sizes make no Gemma3: {' '.join(str(error).split())}",
            ["Use the config.json and the weights of google/gemma-3-4b-it."],
        ) from error


def gemma_config(source: TensorSource) -> dict[str, Any]:
    """Gemma3's text config for weights without one: sizes from the tensors, the rest as in gemma-3-4b-it.

    Raises UserError("weights_mismatch") where a tensor is missing that tells a size.
    """
    prefix = _prefix(source)

    def rows(name: str) -> int:
        return length_of(source, prefix + name, "Gemma3 language model")

    head = rows("layers.0.self_attn.q_norm.weight")
    depth = count_of(source, re.escape(prefix) + r"layers\.(\d+)\.", "Gemma3 language model")
    return {
        "model_type": "gemma3_text",
        "architectures": ["Gemma3TextModel"],
        "vocab_size": rows("embed_tokens.weight"),
        "hidden_size": rows("norm.weight"),
        "intermediate_size": rows("layers.0.mlp.gate_proj.weight"),
        "num_hidden_layers": depth,
        "num_attention_heads": rows("layers.0.self_attn.q_proj.weight") // head,
        "num_key_value_heads": rows("layers.0.self_attn.k_proj.weight") // head,
        "head_dim": head,
        "query_pre_attn_scalar": head,
        "layer_types": ["full_attention" if (i + 1) % FULL_EVERY == 0 else "sliding_attention" for i in range(depth)],
        "sliding_window": SLIDING_WINDOW,
        "max_position_embeddings": 131_072,
        "rms_norm_eps": 1e-6,
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_parameters": {
            "sliding_attention": {"rope_type": "default", "rope_theta": 10_000.0},
            "full_attention": {"rope_type": "linear", "factor": ROPE_FACTOR, "rope_theta": 1_000_000.0},
        },
        "pad_token_id": 0,
        "eos_token_id": 1,
        "bos_token_id": 2,
    }


def plain_names(files: OpenFiles) -> RenamedTensors:
    """The language model alone under `model.*`, as transformers' own text model names it."""
    prefix = _prefix(files)
    own = [name for name in files.names() if not NOT_GEMMA.match(name)]
    return RenamedTensors(files, {f"model.{name.removeprefix(prefix)}": [name] for name in own}, {})


def _prefix(source: TensorSource) -> str:
    names = set(source.names())
    for prefix in PREFIXES:
        if f"{prefix}embed_tokens.weight" in names:
            return prefix
    raise mismatch(
        "Gemma3 language model",
        source.location,
        missing=["embed_tokens.weight"],
        unexpected=[name for name in source.names() if not NOT_GEMMA.match(name)],
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
        if NOT_GEMMA.match(stored):
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
