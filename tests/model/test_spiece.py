"""Tokenizers out of sentencepiece bytes. The models and ids in data/tokenizers were made with sentencepiece 0.2.3,
the .json files with transformers' own conversion of the same models (which needs sentencepiece and protobuf)."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from layout_makers import TINY, TOKENIZERS, gemma_file, jina_file
from tokenizers import Tokenizer

from trainer_core.contracts.errors import UserError
from trainer_core.model.gemma import load_gemma
from trainer_core.model.jina import load_jina
from trainer_core.model.spiece import gemma_tokenizer, merges_of, parse_spiece, xlmr_tokenizer
from trainer_core.model.tokens import load_tokenizer

REFERENCE = json.loads((TOKENIZERS / "sentencepiece-ids.json").read_text())
BUILD = {"gemma": gemma_tokenizer, "xlmr": xlmr_tokenizer, "xlmr-fairseq": xlmr_tokenizer}
ODD = ["<eos> <pad>x<start_of_turn>", "▁▁a ▁", "\u200d\x00\ufeff", "a" * 300, "\r\n\t \u3000", "👩‍👩‍👧"]


def model(name: str) -> bytes:
    return (TOKENIZERS / f"{name}.model").read_bytes()


@pytest.mark.parametrize("name", BUILD)
def test_ids_are_sentencepieces_own(name: str) -> None:
    tokenizer = BUILD[name](parse_spiece(model(name)))
    for text, ids in zip(REFERENCE["texts"], REFERENCE[name.removesuffix("-fairseq")], strict=True):
        assert tokenizer(text)["input_ids"] == ids, text


@pytest.mark.parametrize("name", BUILD)
def test_ids_are_those_of_the_tokenizer_json_of_the_same_vocabulary(name: str) -> None:
    tokenizer = BUILD[name](parse_spiece(model(name)))
    official = Tokenizer.from_file(str(TOKENIZERS / f"{name.removesuffix('-fairseq')}.json"))
    for text in [*REFERENCE["texts"], *ODD]:
        assert tokenizer(text)["input_ids"] == official.encode(text).ids, text


@pytest.mark.parametrize("name", BUILD)
def test_saved_and_read_again_it_is_the_same(name: str, tmp_path: Path) -> None:
    tokenizer = BUILD[name](parse_spiece(model(name)))
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(tmp_path, name)
    for text in [*REFERENCE["texts"], *ODD]:
        assert again(text)["input_ids"] == tokenizer(text)["input_ids"], text
    assert (again.pad_token_id, again.bos_token_id) == (tokenizer.pad_token_id, tokenizer.bos_token_id)


def test_a_folder_with_a_sentencepiece_model_alone_is_enough(tmp_path: Path) -> None:
    folder = shutil.copytree(TINY / "clip_model", tmp_path / "clip_model")
    for file in folder.glob("tokenizer*"):
        file.unlink()
    (folder / "sentencepiece.bpe.model").write_bytes(model("xlmr"))
    wanted = xlmr_tokenizer(parse_spiece(model("xlmr")))("solo, hair")["input_ids"]
    assert load_jina(folder, dtype=torch.float32).tokenizer("solo, hair")["input_ids"] == wanted


def test_merges_are_those_of_the_tokenizer_json() -> None:
    official = json.loads((TOKENIZERS / "gemma.json").read_text())["model"]["merges"]
    assert sorted(merges_of(parse_spiece(model("gemma")))) == sorted(tuple(merge) for merge in official)


@pytest.mark.parametrize("data", [b"", b"\xff" * 30, b"\x0a\xff\xff\xff\x7f", b"\x0b", b"\x0a\x02\x0a\x05"])
def test_bytes_that_are_no_model_are_refused(data: bytes) -> None:
    with pytest.raises(UserError) as caught:
        parse_spiece(data)
    assert caught.value.code == "tokenizer_invalid"


def test_a_model_cut_short_is_refused_or_shorter() -> None:
    whole = model("gemma")
    for end in range(1, len(whole), 997):
        try:
            assert len(parse_spiece(whole[:end]).pieces) <= 700
        except UserError as error:
            assert error.code == "tokenizer_invalid"


def test_the_other_encoders_model_is_refused() -> None:
    with pytest.raises(UserError, match="not Gemma's"):
        gemma_tokenizer(parse_spiece(model("xlmr")))
    with pytest.raises(UserError, match="not XLM-R's"):
        xlmr_tokenizer(parse_spiece(model("gemma")))


def test_a_comfyui_file_brings_its_tokenizer(tmp_path: Path) -> None:
    spiece = small_enough(model("xlmr-fairseq"))
    encoder = load_jina(jina_file(tmp_path / "jina.safetensors", spiece=spiece), dtype=torch.float32)
    wanted = xlmr_tokenizer(parse_spiece(spiece))
    assert encoder.tokenizer("solo, hair")["input_ids"] == wanted("solo, hair")["input_ids"]
    assert list(tmp_path.iterdir()) == [tmp_path / "jina.safetensors"]


def small_enough(data: bytes) -> bytes:
    assert len(parse_spiece(data).pieces) < 640  # rows of the built-in encoders
    return data


def test_a_tokenizer_larger_than_the_encoder_is_refused(tmp_path: Path) -> None:
    file = gemma_file(tmp_path / "gemma.safetensors", spiece=model("gemma"))
    with pytest.raises(UserError, match="700 tokens, the encoder only 640") as caught:
        load_gemma(file, dtype=torch.float32)
    assert caught.value.code == "tokenizer_invalid"


def test_files_beside_win_but_not_those_of_the_other_encoder(tmp_path: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((TINY / "text_encoder" / name).read_bytes())
    gemma = load_gemma(gemma_file(tmp_path / "gemma.safetensors"), dtype=torch.float32)
    assert gemma.tokenizer.bos_token == "<bos>"
    jina = load_jina(jina_file(tmp_path / "j.safetensors", spiece=model("xlmr")), dtype=torch.float32)
    assert jina.tokenizer.bos_token == "<s>"


def test_no_tokenizer_anywhere_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no Gemma tokenizer") as caught:
        load_gemma(gemma_file(tmp_path / "gemma.safetensors"), dtype=torch.float32)
    assert "gemma.safetensors.tokenizer" in caught.value.hints[0]
