"""Jina CLIP v2's text tower on transformers' own `jina_embeddings_v3`: no remote code.

The official file stores a LoRA adapter beside every matrix, and the original code always applies it. It is
merged here in float32 (bfloat16 would cost 3e-3 to 5e-3 of the pooled vector), row range by row range.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import JinaEmbeddingsV3Config, JinaEmbeddingsV3Model
from transformers.models.jina_embeddings_v3.modeling_jina_embeddings_v3 import JinaEmbeddingsV3RotaryEmbedding

from trainer_core.contracts.errors import UserError
from trainer_core.model.part_tokenizer import JINA, part_tokenizer
from trainer_core.model.tokens import tokenize
from trainer_core.model.weights import TensorSource, load_strict, open_tensors, refuse_quantised
from trainer_core.planning.headers import read_config
from trainer_core.planning.tensor_names import JINA_ADAPTER_A, JINA_ADAPTER_B, JINA_WEIGHT, NOT_JINA
from trainer_core.planning.tensor_shapes import count_of, mismatch

WHAT = "Jina CLIP text tower"
HEAD_DIM = 64  # of XLM-R large, and of every Jina tower
ROTARY_BASE = 20_000.0
MAX_POSITIONS = 8_194
PREFIXES = ("text_model.transformer.roberta.", "text_model.transformer.", "roberta.", "model.", "")
RENAMES = (
    (re.compile(r"^emb_ln\."), "embeddings.LayerNorm."),
    (re.compile(r"^encoder\.layers\."), "layers."),
    (re.compile(r"\.mixer\.out_proj\."), ".self_attn.o_proj."),
    (re.compile(r"\.norm1\."), ".post_attention_layernorm."),
    (re.compile(r"\.norm2\."), ".post_mlp_layernorm."),
)


@dataclass(frozen=True, kw_only=True)
class JinaFeatures:
    """pooled: [B, D] in the encoder's dtype, not normalised; truncated: where the token limit cut a text."""

    pooled: Tensor
    truncated: tuple[bool, ...]


class JinaEncoder:
    """Tokenizer and text tower; made by `load_jina`."""

    def __init__(self, model: JinaEmbeddingsV3Model, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    def encode(self, texts: list[str], max_tokens: int = 2048) -> JinaFeatures:
        """Pooled vector of each text; an empty text is its start and end token."""
        tokens = tokenize(self.tokenizer, texts, max_tokens)
        return JinaFeatures(pooled=self.encode_ids(tokens.ids, tokens.mask), truncated=tokens.truncated)

    @torch.no_grad()
    def encode_ids(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Mean of the last layer over the tokens of each row, special tokens included: [B, L] ids -> [B, D].

        mask: [B, L], non-zero on tokens.
        """
        device = self.model.device
        ids = ids.to(device)
        kept = mask.to(device).ne(0)
        hidden = self.model(input_ids=ids, attention_mask=kept.long()).last_hidden_state
        weights = kept.unsqueeze(-1)
        mean = (hidden.float() * weights).sum(dim=1) / weights.sum(dim=1)
        return mean.to(hidden.dtype)


def load_jina(path: Path, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> JinaEncoder:
    """Loads the tower, adapter merged, and its tokenizer, from the official clip_model folder or a single file.

    Raises UserError: "weights_missing", "weights_mismatch", "weights_quantised", "config_unreadable",
    "tokenizer_missing", "tokenizer_invalid".
    """
    tower = load_jina_tower(path, dtype=dtype, device=device)
    with open_tensors(path) as files:
        tokenizer = part_tokenizer(path, JINA, files, tower.config.vocab_size)
    return JinaEncoder(tower, tokenizer)


def load_jina_tower(path: Path, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> JinaEmbeddingsV3Model:
    """The tower alone, for callers that bring token ids. A single file has no config.json and needs none."""
    settings = _Settings.of(read_config(path) if path.is_dir() else {})
    with open_tensors(path) as files:
        refuse_quantised(files, {name: name for name in files.names() if not NOT_JINA.match(name)})
        source = _MergedTower(files, settings)
        with torch.device("meta"):
            model = JinaEmbeddingsV3Model(_config(source, settings), add_pooling_layer=False)
        load_strict(model, source, what=WHAT, dtype=dtype, device=device, rebuild_buffers=_rebuild_buffers)
    return model.eval()


def jina_size(files: TensorSource) -> tuple[int, int]:
    """(vocabulary, width) of the tower. Raises UserError("weights_mismatch") where the embedding is missing."""
    vocabulary, width = _MergedTower(files, _Settings.of({})).shape_or_refuse("embeddings.word_embeddings.weight")
    return vocabulary, width


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """What tensor shapes do not tell; None where the config does not say."""

    heads: int | None
    layer_norm_eps: float
    rotary_base: float
    pad_token_id: int
    lora_alpha: float | None
    adapter_index: int | None

    @staticmethod
    def of(config: Mapping[str, Any]) -> "_Settings":
        """From a flat config or from an official JinaCLIPConfig, whose text settings lie two levels deep."""
        text = config.get("text_config") or {}
        values = {**config, **text, **(text.get("hf_model_config_kwargs") or {})}
        tasks, task = values.get("lora_adaptations"), values.get("default_lora_task")
        return _Settings(
            heads=values.get("num_attention_heads"),
            layer_norm_eps=values.get("layer_norm_eps", 1e-5),
            rotary_base=values.get("rotary_emb_base", ROTARY_BASE),
            pad_token_id=1 if values.get("pad_token_id") is None else values["pad_token_id"],
            lora_alpha=values.get("lora_alpha"),
            adapter_index=tasks.index(task) if tasks and task in tasks else None,
        )


def _config(source: "_MergedTower", settings: _Settings) -> JinaEmbeddingsV3Config:
    """Sizes come from the tensors: the official config.json names a remote model instead of stating them."""
    vocab, width = source.shape_or_refuse("embeddings.word_embeddings.weight")
    config = JinaEmbeddingsV3Config(
        vocab_size=vocab,
        hidden_size=width,
        num_hidden_layers=count_of(source, r"layers\.(\d+)\.", WHAT),
        num_attention_heads=settings.heads or max(width // HEAD_DIM, 1),
        intermediate_size=source.shape_or_refuse("layers.0.mlp.fc1.weight")[0],
        type_vocab_size=source.shape_or_refuse("embeddings.token_type_embeddings.weight")[0],
        layer_norm_eps=settings.layer_norm_eps,
        max_position_embeddings=MAX_POSITIONS,
        pad_token_id=settings.pad_token_id,
        rope_parameters={"rope_type": "default", "rope_theta": settings.rotary_base},
    )
    config._attn_implementation = "sdpa"
    return config


def _rebuild_buffers(model: nn.Module) -> None:
    """Computed tables that no checkpoint holds."""
    assert isinstance(model, JinaEmbeddingsV3Model)
    model.rotary_emb = JinaEmbeddingsV3RotaryEmbedding(model.config)
    positions = torch.arange(model.config.max_position_embeddings).unsqueeze(0)
    model.embeddings.position_ids = nn.Buffer(positions, persistent=False)
    model.embeddings.token_type_ids = nn.Buffer(torch.zeros_like(positions), persistent=False)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """One tensor of the module: where it is stored, its row range there, and its adapter if it has one."""

    stored: str
    shape: tuple[int, ...]
    rows: slice
    adapter: tuple[str, str] | None


class _MergedTower:
    """The stored tensors under transformers' names: adapters merged, Wqkv cut in three.

    Names that it does not understand pass through unchanged, so that the strict loader reports them.
    """

    def __init__(self, files: TensorSource, settings: _Settings) -> None:
        self._files = files
        self._settings = settings
        self._stored = {name for name in files.names() if not NOT_JINA.match(name)}
        self._prefix = _prefix(files)
        self._parts = {name: part for stored in sorted(self._stored) for name, part in self._parts_of(stored)}

    @property
    def location(self) -> str:
        return self._files.location

    def names(self) -> Sequence[str]:
        return sorted(self._parts)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._parts[name].shape

    def shape_or_refuse(self, name: str) -> tuple[int, ...]:
        """Shape of a matrix without which nothing else makes sense."""
        if name not in self._parts:
            raise mismatch(WHAT, self.location, missing=[name])
        shape = self.shape(name)
        if len(shape) != 2 or 0 in shape:
            raise mismatch(WHAT, self.location, misshapen=[f"{self._parts[name].stored} {list(shape)}"])
        return shape

    def read(self, name: str) -> Tensor:
        part = self._parts[name]
        weight = self._files.read(part.stored)[part.rows]
        return weight if part.adapter is None else self._merge(weight, part)

    def _merge(self, weight: Tensor, part: _Part) -> Tensor:
        """Linear: W + B A; embedding: W + A B; times alpha / rank. In float32 and within one buffer."""
        assert part.adapter is not None
        a, b = (self._adapter_of_task(name) for name in part.adapter)
        embedding = "embeddings." in part.stored
        left, right, rank = (a, b, a.shape[1]) if embedding else (b, a, a.shape[0])
        alpha = self._settings.lora_alpha
        scale = 1.0 if alpha is None else alpha / rank
        return weight.to(torch.float32, copy=True).addmm_(left[part.rows], right, alpha=scale)

    def _adapter_of_task(self, name: str) -> Tensor:
        stacked = self._files.read(name)
        index = self._settings.adapter_index
        if index is None and stacked.shape[0] > 1:
            raise UserError(
                "config_unreadable",
                f"{self.location} holds {stacked.shape[0]} adapters; config.json names none as the default.",
                ["Use the config.json that came with the model (default_lora_task, lora_adaptations)."],
            )
        return stacked[index or 0].float()

    def _parts_of(self, stored: str) -> Iterator[tuple[str, _Part]]:
        if stored.endswith((JINA_ADAPTER_A, JINA_ADAPTER_B)) and self._base_of(stored) in self._stored:
            return
        adapter = self._adapter_names(stored)
        name = stored.removeprefix(self._prefix)
        if adapter is not None:
            name = name.removesuffix(JINA_WEIGHT) + ".weight"
        for pattern, replacement in RENAMES:
            name = pattern.sub(replacement, name)
        shape = self._files.shape(stored)
        if ".mixer.Wqkv." not in name or not shape:
            yield name, _Part(stored=stored, shape=shape, rows=slice(None), adapter=adapter)
            return
        rows = shape[0] // 3
        for index, letter in enumerate("qkv"):
            yield (
                name.replace(".mixer.Wqkv.", f".self_attn.{letter}_proj."),
                _Part(
                    stored=stored,
                    shape=(rows, *shape[1:]),
                    rows=slice(index * rows, (index + 1) * rows),
                    adapter=adapter,
                ),
            )

    def _base_of(self, adapter_name: str) -> str:
        return adapter_name.removesuffix(JINA_ADAPTER_A).removesuffix(JINA_ADAPTER_B) + JINA_WEIGHT

    def _adapter_names(self, stored: str) -> tuple[str, str] | None:
        """A parametrised weight without both halves of its adapter is half a file."""
        if not stored.endswith(JINA_WEIGHT):
            return None
        stem = stored.removesuffix(JINA_WEIGHT)
        names = (stem + JINA_ADAPTER_A, stem + JINA_ADAPTER_B)
        if missing := [name for name in names if name not in self._stored]:
            raise mismatch(WHAT, self.location, missing=missing)
        return names


def _prefix(files: TensorSource) -> str:
    names = set(files.names())
    for prefix in PREFIXES:
        stem = f"{prefix}embeddings.word_embeddings"
        if f"{stem}.weight" in names or f"{stem}{JINA_WEIGHT}" in names:
            return prefix
    unexpected = [name for name in files.names() if not NOT_JINA.match(name)]
    raise mismatch(WHAT, files.location, missing=["embeddings.word_embeddings.weight"], unexpected=unexpected)
