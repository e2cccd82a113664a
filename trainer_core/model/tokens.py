"""What both text encoders share: loading a local tokenizer, cutting and padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer

from trainer_core.contracts.errors import UserError
from trainer_core.planning.tokenizer_places import VOCABULARIES


@dataclass(frozen=True, kw_only=True)
class Tokens:
    """ids and mask are [B, L] int64, padded on the right; truncated has one flag per text."""

    ids: Tensor
    mask: Tensor
    truncated: tuple[bool, ...]


def load_tokenizer(folder: Path, what: str) -> Any:
    """The folder's own tokenizer, padding and cutting on the right; no network, no remote code.

    Raises UserError("tokenizer_missing") when the folder has none or it cannot be read.
    """
    expected = f"Expected: tokenizer_config.json and one of {', '.join(VOCABULARIES)}."
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise UserError("tokenizer_missing", f"{folder} holds no {what} tokenizer.", [expected])
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            "tokenizer_missing", f"The {what} tokenizer in {folder} cannot be read: {error}", [expected]
        ) from error
    # Gemma's own files say left; padding is done by `tokenize`, on the right, but callers see the truth here.
    tokenizer.padding_side = tokenizer.truncation_side = "right"
    return tokenizer


def tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int, *, pad_to_multiple_of: int | None = None) -> Tokens:
    """Special tokens included in the limit; padded to the longest text, then to the multiple."""
    rows = tokenizer(list(texts), truncation=True, max_length=max_tokens)["input_ids"]
    # Padded here because transformers refuses a limit that is no multiple of the padding.
    multiple = pad_to_multiple_of or 1
    width = -(-max(len(row) for row in rows) // multiple) * multiple
    ids = torch.full((len(rows), width), tokenizer.pad_token_id, dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row)
        mask[index, : len(row)] = 1
    truncated = tuple(
        len(row) >= max_tokens and len(tokenizer(text, verbose=False)["input_ids"]) > max_tokens
        for text, row in zip(texts, rows, strict=True)
    )
    return Tokens(ids=ids, mask=mask, truncated=truncated)
