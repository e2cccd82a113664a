"""Where an encoder's tokenizer may lie, by names alone; torch-free, shared by the loader and the check of a base."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

# The tensor in which ComfyUI's single files carry their sentencepiece model, as bytes.
SPIECE_TENSOR = "spiece_model"
READY = "tokenizer.json"


@dataclass(frozen=True, kw_only=True)
class TokenizerPlaces:
    """What sets one encoder's tokenizer apart.

    first:    the token in front of every text.
    siblings: name of the weights' folder -> name of the tokenizer's folder beside it.
    spiece:   names under which the family's sentencepiece model is kept.
    """

    what: str
    first: str
    siblings: Mapping[str, str]
    spiece: tuple[str, ...]


GEMMA_PLACES = TokenizerPlaces(
    what="Gemma",
    first="<bos>",
    siblings=MappingProxyType({"text_encoder": "tokenizer"}),
    spiece=("tokenizer.model",),
)
JINA_PLACES = TokenizerPlaces(
    what="Jina",
    first="<s>",
    siblings=MappingProxyType({"text_encoder_2": "tokenizer_2", "clip_model": "clip_tokenizer"}),
    spiece=("sentencepiece.bpe.model", "spiece.model"),
)
# Name of an encoder's folder -> name of its tokenizer's folder beside it.
TOKENIZER_FOLDERS = MappingProxyType({**GEMMA_PLACES.siblings, **JINA_PLACES.siblings})
# Any of these is a tokenizer; the others only go with it.
VOCABULARIES = (READY, *GEMMA_PLACES.spiece, *JINA_PLACES.spiece)
TOKENIZER_FILES = (*VOCABULARIES, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


def tokenizer_folders(path: Path, places: TokenizerPlaces) -> Iterator[Path]:
    """Folders that may hold the tokenizer's files of the encoder at `path` (a file or a folder), best first."""
    if path.is_file():
        yield path.with_name(f"{path.name}.tokenizer")
        yield path.parent
        return
    yield path
    if path.name in places.siblings:
        yield path.parent / places.siblings[path.name]
