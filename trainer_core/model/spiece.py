"""Tokenizers from a sentencepiece model's bytes, as ComfyUI's single files carry them.

The bytes are a protobuf message of which three fields matter here, so it is read directly: neither the
sentencepiece nor the protobuf package is needed. What comes out are transformers' own Gemma and XLM-R tokenizers.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from tokenizers import AddedToken, processors
from transformers import GemmaTokenizer, XLMRobertaTokenizer

from trainer_core.contracts.errors import UserError

# Field numbers of sentencepiece_model.proto.
PIECES, TRAINER, NORMALIZER = 1, 2, 3
PIECE_TEXT, PIECE_SCORE, PIECE_TYPE = 1, 2, 3
TRAINER_MODEL_TYPE, NORMALIZER_CHARSMAP = 3, 2
UNIGRAM, BPE = 1, 2
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

GEMMA_ENDS = ("<pad>", "<eos>", "<bos>", "<unk>")
# fairseq's order, in which XLM-R's embedding rows lie; sentencepiece's own file starts otherwise and lacks <pad>.
XLMR_ENDS = ("<s>", "<pad>", "</s>", "<unk>")
SENTENCEPIECE_ENDS = ("<unk>", "<s>", "</s>")
# Gemma's turn marks are parts of its chat format, never of a caption.
GEMMA_SPECIAL = ("<start_of_turn>", "<end_of_turn>")


@dataclass(frozen=True, kw_only=True)
class Piece:
    text: str
    score: float
    kind: int


@dataclass(kw_only=True)
class SentencePieces:
    """What a tokenizer is built from: pieces in id order, the algorithm, the normaliser's compiled table."""

    pieces: list[Piece] = field(default_factory=list)
    model_type: int = UNIGRAM
    charsmap: bytes = b""


def parse_spiece(data: bytes) -> SentencePieces:
    """Reads a serialised sentencepiece model. Raises UserError("tokenizer_invalid")."""
    model = SentencePieces()
    try:
        for number, value in _fields(data):
            if number == PIECES:
                model.pieces.append(_piece(value))
            elif number == TRAINER:
                model.model_type = dict(_fields(value)).get(TRAINER_MODEL_TYPE, UNIGRAM)
            elif number == NORMALIZER:
                model.charsmap = dict(_fields(value)).get(NORMALIZER_CHARSMAP, b"")
    except (ValueError, IndexError, TypeError, struct.error) as error:
        raise UserError("tokenizer_invalid", f"The sentencepiece model cannot be read: {error}.") from error
    if not model.pieces:
        raise UserError("tokenizer_invalid", "The sentencepiece model holds no pieces.")
    return model


def _piece(data: bytes) -> Piece:
    values = dict(_fields(data))
    score = struct.unpack("<f", values.get(PIECE_SCORE, bytes(4)))[0]
    return Piece(text=values.get(PIECE_TEXT, b"").decode("utf-8"), score=score, kind=values.get(PIECE_TYPE, NORMAL))


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """(field number, value) of one protobuf message; varints as int, everything else as bytes."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if kind == VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == BYTES:
            length, position = _varint(data, position)
        elif kind in (FIXED32, FIXED64):
            length = 4 if kind == FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        if position + length > len(data):
            raise ValueError(f"a field ends at byte {position + length} of {len(data)}")
        yield number, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError(f"a number without end at byte {position}")


def gemma_tokenizer(model: SentencePieces) -> Any:
    """transformers' GemmaTokenizer: byte-pair encoding with byte fallback, BOS in front.

    Raises UserError("tokenizer_invalid") for a model of another kind.
    """
    first = tuple(piece.text for piece in model.pieces[:4])
    if model.model_type != BPE or first != GEMMA_ENDS:
        raise UserError(
            "tokenizer_invalid",
            f"The sentencepiece model is not Gemma's: it starts with {', '.join(first)}.",
            ["Use the text encoder file that belongs to NewBie (gemma_3_4b_it)."],
        )
    vocabulary = {piece.text: index for index, piece in enumerate(model.pieces)}
    tokenizer = GemmaTokenizer(vocab=vocabulary, merges=merges_of(model), padding_side="right", mask_token=None)
    tokenizer.add_tokens(_added(model, GEMMA_SPECIAL))
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", pair="<bos> $A <bos> $B", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return tokenizer


def merges_of(model: SentencePieces) -> list[tuple[str, str]]:
    """The merges of byte-pair encoding, best first: every way to put a piece together from two others.

    sentencepiece stores no merges: it joins the pair whose result has the highest score.
    """
    scores = {piece.text: piece.score for piece in model.pieces}
    found = [
        (score, cut, text)
        for text, score in scores.items()
        for cut in range(1, len(text))
        if text[:cut] in scores and text[cut:] in scores
    ]
    # Among equal scores the longer left part goes first, then the longer right part.
    found.sort(key=lambda merge: (merge[0], merge[1], len(merge[2])), reverse=True)
    return [(text[:cut], text[cut:]) for _, cut, text in found]


def xlmr_tokenizer(model: SentencePieces) -> Any:
    """transformers' XLMRobertaTokenizer: unigram, `<s> ... </s>`. Raises UserError("tokenizer_invalid")."""
    first = tuple(piece.text for piece in model.pieces[:4])
    if model.model_type != UNIGRAM or (first[:3] != SENTENCEPIECE_ENDS and first != XLMR_ENDS):
        raise UserError(
            "tokenizer_invalid",
            f"The sentencepiece model is not XLM-R's: it starts with {', '.join(first)}.",
            ["Use the text encoder file that belongs to NewBie (jina_clip_v2)."],
        )
    rest = model.pieces[3:] if first[:3] == SENTENCEPIECE_ENDS else model.pieces[4:]
    vocabulary = [(text, 0.0) for text in XLMR_ENDS] + [(piece.text, piece.score) for piece in rest]
    if vocabulary[-1][0] != "<mask>":
        vocabulary.append(("<mask>", 0.0))
    tokenizer = XLMRobertaTokenizer(vocab=vocabulary, _spm_precompiled_charsmap=model.charsmap or None)
    tokenizer.add_tokens(_added(model, ()))
    return tokenizer


def _added(model: SentencePieces, special: tuple[str, ...]) -> list[AddedToken]:
    """Pieces that are found in a text before anything else: control pieces, and those that somebody defined."""
    return [
        AddedToken(piece.text, normalized=False, special=piece.kind == CONTROL or piece.text in special)
        for piece in model.pieces
        if piece.kind in (CONTROL, USER_DEFINED)
    ]
