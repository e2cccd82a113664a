"""The tokenizer that belongs to a text encoder, wherever its layout keeps it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer_core.contracts.errors import UserError
from trainer_core.model.spiece import SentencePieces, gemma_tokenizer, parse_spiece, xlmr_tokenizer
from trainer_core.model.tokens import load_tokenizer
from trainer_core.model.weights import TensorSource
from trainer_core.planning.tokenizer_places import (
    GEMMA_PLACES,
    JINA_PLACES,
    READY,
    SPIECE_TENSOR,
    TokenizerPlaces,
    tokenizer_folders,
)


@dataclass(frozen=True, kw_only=True)
class Family(TokenizerPlaces):
    """One encoder's tokenizer, and how it is built from its sentencepiece model."""

    build: Callable[[SentencePieces], Any]


GEMMA = Family(**vars(GEMMA_PLACES), build=gemma_tokenizer)
JINA = Family(**vars(JINA_PLACES), build=xlmr_tokenizer)


def part_tokenizer(path: Path, family: Family, source: TensorSource, rows: int) -> Any:
    """Tokenizer of the encoder at `path` (file or folder), opened as `source`, whose embedding has `rows` rows.

    Files win over the sentencepiece model inside the weights. Nothing is written.

    Raises UserError: "tokenizer_missing", "tokenizer_invalid".
    """
    folders = list(tokenizer_folders(path, family))
    for folder in folders:
        if (folder / READY).is_file():
            tokenizer = load_tokenizer(folder, family.what)
            # Beside a single file there may lie another encoder's.
            if path.is_dir() or folder != path.parent or str(tokenizer.bos_token) == family.first:
                return tokenizer
    if SPIECE_TENSOR in source.names():
        return _built(bytes(source.read(SPIECE_TENSOR).contiguous().numpy()), family, source.location, rows)
    for file in (folder / name for folder in folders for name in family.spiece):
        if file.is_file():
            return _built(file.read_bytes(), family, str(file), rows)
    if path.is_dir():
        return load_tokenizer(path, family.what)  # raises, or reads a form of older versions
    raise UserError(
        "tokenizer_missing",
        f"{path} holds no {family.what} tokenizer, and none lies beside it.",
        [
            f"Put {READY} and tokenizer_config.json into the folder {path.name}.tokenizer beside it.",
            f"ComfyUI's own files carry their tokenizer in the tensor {SPIECE_TENSOR}.",
        ],
    )


def _built(data: bytes, family: Family, location: str, rows: int) -> Any:
    try:
        tokenizer = family.build(parse_spiece(data))
    except UserError as error:
        raise UserError(error.code, f"{location}: {error.message}", error.hints) from error
    if len(tokenizer) > rows:
        raise UserError(
            "tokenizer_invalid",
            f"{location}: the {family.what} tokenizer has {len(tokenizer)} tokens, the encoder only {rows}.",
            ["Use weights and tokenizer of the same model."],
        )
    # GemmaTokenizer pads on the left unless told; callers see what `tokenize` does.
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    return tokenizer
