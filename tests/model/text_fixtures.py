"""Toy checkpoints for the text-encoder tests."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor
from transformers import Gemma3TextConfig, Gemma3TextModel, PreTrainedTokenizerFast

WORDS = ["a", "girl", "with", "red", "blue", "hair", "eyes", "cat", "ears", "smile"]
GEMMA_SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>"]
JINA_SPECIALS = ["<s>", "<pad>", "</s>", "<unk>"]


def save_gemma_tokenizer(folder: Path) -> None:
    """Word-level; <bos> in front, nothing behind; left padding, as Gemma's own files say."""
    backend = _word_tokenizer(GEMMA_SPECIALS, "<bos> $A", ["<bos>"])
    names = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, padding_side="left", **names).save_pretrained(folder)


def save_jina_tokenizer(folder: Path) -> None:
    """Word-level; <s> text </s>, pad id 1, as XLM-R."""
    backend = _word_tokenizer(JINA_SPECIALS, "<s> $A </s>", ["<s>", "</s>"])
    names = {"pad_token": "<pad>", "eos_token": "</s>", "bos_token": "<s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=backend, **names).save_pretrained(folder)


def _word_tokenizer(specials: list[str], template: str, used: list[str]) -> Tokenizer:
    vocab = {word: index for index, word in enumerate([*specials, *WORDS])}
    backend = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    pairs = [(name, vocab[name]) for name in used]
    backend.post_processor = processors.TemplateProcessing(single=template, special_tokens=pairs)
    return backend


def gemma_config(layers: int = 4) -> Gemma3TextConfig:
    """Both kinds of layers, a window shorter than the texts, rotary scaling as in the 4B model."""
    return Gemma3TextConfig(
        vocab_size=16,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        query_pre_attn_scalar=16,
        sliding_window=4,
        max_position_embeddings=128,
        layer_types=["sliding_attention", "full_attention"] * (layers // 2),
        rope_scaling={"factor": 8.0, "rope_type": "linear"},
    )


def gemma_model(seed: int = 0) -> Gemma3TextModel:
    """The whole model as transformers builds it, with weights large enough to matter."""
    torch.manual_seed(seed)
    model = Gemma3TextModel(gemma_config()).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    return model


def save_gemma(folder: Path, tensors: dict[str, Tensor], *, multimodal: bool = False) -> Path:
    """config.json, weights and tokenizer of one text encoder."""
    folder.mkdir(parents=True, exist_ok=True)
    text = gemma_config().to_dict()
    config = {"model_type": "gemma3", "text_config": text} if multimodal else text
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / "model.safetensors")
    save_gemma_tokenizer(folder)
    return folder
