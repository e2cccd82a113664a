"""The frozen text side of the toy base: byte-pair tokenizers, a random Gemma3 and a random Jina tower.

Both encoders stay random: their job is to give every caption its own vectors, in the real file formats.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import Tensor
from transformers import Gemma3TextConfig, Gemma3TextModel, PreTrainedTokenizerFast

from trainer_core.contracts.config import SYSTEM_PROMPT_TAGS, SYSTEM_PROMPT_XML
from trainer_core.tools.tiny.stage import write_json
from trainer_core.tools.tiny.world import all_portraits, is_held_out, tag_caption, xml_caption

WIDTH = 128
VOCABULARY = 640
JINA_LAYERS = 2
JINA_HIDDEN = 256
JINA_RANK = 4
TOKEN_PATTERN = r"<[^>]{1,24}>| ?[\w$-]+| ?[^\s\w]"
GEMMA_TOKENS = {"pad": "<pad>", "eos": "<eos>", "bos": "<bos>", "unk": "<unk>"}
JINA_TOKENS = {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>"}


def _corpus() -> Iterator[str]:
    rng = random.Random("corpus")
    for portrait in rng.sample([p for p in all_portraits() if not is_held_out(p)], 2000):
        yield SYSTEM_PROMPT_TAGS + tag_caption(portrait, rng)
        yield SYSTEM_PROMPT_XML + xml_caption(portrait)


def _save_tokenizer(folder: Path, special: dict[str, str], template: str, longest: int) -> None:
    """A byte-level BPE that can spell any text; ids of the special tokens follow their order."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(TOKEN_PATTERN), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(special.values()),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(token, tokenizer.token_to_id(token)) for token in special.values()]
    )
    named = {f"{role}_token": token for role, token in special.items()}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=longest, **named).save_pretrained(folder)


def build_gemma(folder: Path, seed: int) -> None:
    """Write text_encoder/: config.json as Gemma3's, weights under the original `language_model.model.` names."""
    folder.mkdir(parents=True, exist_ok=True)
    _save_tokenizer(folder, GEMMA_TOKENS, "<bos> $A", 1024)
    config = Gemma3TextConfig(
        vocab_size=VOCABULARY,
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        query_pre_attn_scalar=32,
        max_position_embeddings=1024,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=2,
    )
    torch.manual_seed(seed)
    model = Gemma3TextModel(config)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if value.dim() == 2:
                # A loud embedding keeps each token recognisable behind the random layers.
                value.normal_(std=0.25 if name.startswith("embed") else value.shape[1] ** -0.5)
    tensors = {f"language_model.model.{name}": _stored(value) for name, value in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    text = {key: value for key, value in config.to_dict().items() if key != "transformers_version"}
    write_json(folder / "config.json", {"model_type": "gemma3", "text_config": text}, sort_keys=True)


def build_jina(folder: Path, seed: int) -> None:
    """Write clip_model/: the text tower under jina-clip-v2's own tensor names, with its default adapter."""
    folder.mkdir(parents=True, exist_ok=True)
    _save_tokenizer(folder, JINA_TOKENS, "<s> $A </s>", 2048)
    generator = torch.Generator().manual_seed(seed)
    root = "text_model.transformer.roberta."
    tensors: dict[str, Tensor] = {}

    def noise(*shape: int, std: float) -> Tensor:
        return torch.randn(*shape, generator=generator) * std

    def adapted(name: str, rows: int, columns: int, *, embedding: bool = False) -> None:
        parts = f"{root}{name}.parametrizations.weight."
        tensors[parts + "original"] = noise(rows, columns, std=1.0 if embedding else columns**-0.5)
        # Linear layers store W + B A; embeddings W + A B.
        shape_a, shape_b = (
            ((rows, JINA_RANK), (JINA_RANK, columns)) if embedding else ((JINA_RANK, columns), (rows, JINA_RANK))
        )
        tensors[parts + "0.lora_A"] = noise(1, *shape_a, std=0.05)
        tensors[parts + "0.lora_B"] = noise(1, *shape_b, std=0.05)

    def norm(name: str) -> None:
        tensors[f"{root}{name}.weight"], tensors[f"{root}{name}.bias"] = torch.ones(WIDTH), torch.zeros(WIDTH)

    adapted("embeddings.word_embeddings", VOCABULARY, WIDTH, embedding=True)
    adapted("embeddings.token_type_embeddings", 1, WIDTH, embedding=True)
    norm("emb_ln")
    for layer in range(JINA_LAYERS):
        for part, rows, columns in (
            ("mixer.Wqkv", 3 * WIDTH, WIDTH),
            ("mixer.out_proj", WIDTH, WIDTH),
            ("mlp.fc1", JINA_HIDDEN, WIDTH),
            ("mlp.fc2", WIDTH, JINA_HIDDEN),
        ):
            adapted(f"encoder.layers.{layer}.{part}", rows, columns)
            tensors[f"{root}encoder.layers.{layer}.{part}.bias"] = torch.zeros(rows)
        norm(f"encoder.layers.{layer}.norm1")
        norm(f"encoder.layers.{layer}.norm2")
    stored = {name: _stored(value) for name, value in tensors.items()}
    save_file(stored, folder / "model.safetensors", metadata={"format": "pt"})
    settings = {"lora_adaptations": ["retrieval.query"], "lora_rank": JINA_RANK, "lora_alpha": JINA_RANK}
    text_config = {
        "embed_dim": WIDTH,
        "default_lora_task": "retrieval.query",
        "hf_model_config_kwargs": settings,
    }
    write_json(folder / "config.json", {"model_type": "jina_clip", "text_config": text_config}, sort_keys=True)


def _stored(value: Tensor) -> Tensor:
    return value.detach().to(torch.bfloat16).contiguous()
