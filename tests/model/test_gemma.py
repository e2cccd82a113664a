import re
from pathlib import Path

import pytest
import torch
from text_fixtures import gemma_model, save_gemma
from torch import Tensor
from transformers import AutoTokenizer

from trainer_core.contracts.errors import UserError
from trainer_core.model.gemma import load_gemma
from trainer_core.planning.demo import TINY_BASE

TEXTS = ["a girl with red hair blue eyes cat ears smile", "", "blue cat"]
PREFIXES = ["", "model.", "language_model.", "language_model.model.", "model.language_model."]
OTHER_PARTS = [
    "vision_tower.vision_model.post_layernorm.weight",
    "model.vision_tower.vision_model.post_layernorm.weight",
    "multi_modal_projector.mm_input_projection_weight",
    "model.multi_modal_projector.mm_input_projection_weight",
    "lm_head.weight",
    "language_model.lm_head.weight",
    "spiece_model",
]


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return dict(gemma_model().state_dict())


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, tensors: dict[str, Tensor]) -> Tensor:
    """hidden_states[-2] of the whole model, run by transformers alone."""
    folder = save_gemma(tmp_path_factory.mktemp("whole"), tensors)
    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="right")
    batch = tokenizer(TEXTS, padding=True, pad_to_multiple_of=8, return_tensors="pt", return_token_type_ids=False)
    with torch.no_grad():
        return gemma_model()(**batch, output_hidden_states=True).hidden_states[-2]


@pytest.mark.parametrize("multimodal", [False, True])
@pytest.mark.parametrize("prefix", PREFIXES)
def test_every_prefix_gives_the_reference(
    tmp_path: Path, tensors: dict[str, Tensor], reference: Tensor, prefix: str, multimodal: bool
) -> None:
    stored = {prefix + name: value for name, value in tensors.items()}
    stored |= {name: torch.ones(3) for name in OTHER_PARTS if multimodal}
    features = load_gemma(save_gemma(tmp_path, stored, multimodal=multimodal), dtype=torch.float32).encode(TEXTS)
    kept = features.mask.bool()
    torch.testing.assert_close(features.hidden[kept], reference[kept], rtol=0, atol=1e-6)


def test_padding_is_right_and_to_the_multiple(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    encoder = load_gemma(save_gemma(tmp_path, tensors), dtype=torch.float32)
    assert encoder.encode(TEXTS).mask.sum(dim=1).tolist() == [11, 1, 3]
    features = encoder.encode(TEXTS)
    assert features.mask.shape == (3, 16) and features.hidden.shape == (3, 16, 32)
    assert bool((features.mask.diff(dim=1) <= 0).all())
    assert encoder.encode([""], pad_to_multiple_of=None).mask.tolist() == [[1]]


def test_neighbours_and_padding_do_not_change_a_text(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    encoder = load_gemma(save_gemma(tmp_path, tensors), dtype=torch.float32)
    together = encoder.encode(TEXTS).hidden[2, :3]
    alone = encoder.encode(TEXTS[2:], pad_to_multiple_of=None).hidden[0]
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-5)


def test_texts_that_were_cut_are_flagged(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    encoder = load_gemma(save_gemma(tmp_path, tensors), dtype=torch.float32)
    features = encoder.encode(["a girl with", "a girl with red", "a"], max_tokens=4)
    assert features.truncated == (False, True, False)
    assert features.mask.sum(dim=1).tolist() == [4, 4, 2]


@pytest.mark.parametrize(
    "lost",
    ["embed_tokens.weight", "layers.1.mlp.up_proj.weight", "layers.3.mlp.up_proj.weight", "norm.weight"],
)
def test_a_missing_tensor_is_named(tmp_path: Path, tensors: dict[str, Tensor], lost: str) -> None:
    stored = {f"language_model.model.{name}": value for name, value in tensors.items() if name != lost}
    with pytest.raises(UserError, match=re.escape(lost)) as caught:
        load_gemma(save_gemma(tmp_path, stored), dtype=torch.float32)
    assert caught.value.code == "weights_mismatch"


@pytest.mark.parametrize("extra", ["layers.4.mlp.up_proj.weight", "score.weight", "model.layers.0.mlp.extra"])
def test_an_unexpected_tensor_is_named(tmp_path: Path, tensors: dict[str, Tensor], extra: str) -> None:
    with pytest.raises(UserError, match=re.escape(extra)):
        load_gemma(save_gemma(tmp_path, {**tensors, extra: torch.ones(2)}), dtype=torch.float32)


def test_an_unknown_prefix_is_given_as_the_cause(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    stored = {f"encoder.{name}": value for name, value in tensors.items()}
    with pytest.raises(UserError) as caught:
        load_gemma(save_gemma(tmp_path, stored), dtype=torch.float32)
    assert "'encoder.'" in caught.value.hints[0]


def test_stored_bf16_comes_out_in_the_asked_dtype(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    halves = {name: value.bfloat16() for name, value in tensors.items()}
    folder = save_gemma(tmp_path, halves)
    assert load_gemma(folder, dtype=torch.bfloat16).encode(["a cat"]).hidden.dtype == torch.bfloat16
    model = load_gemma(folder, dtype=torch.float32).model
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert not any(p.requires_grad for p in model.parameters())


def test_another_model_or_no_tokenizer_is_said(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    folder = save_gemma(tmp_path, tensors)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError) as tokenizer:
        load_gemma(folder, dtype=torch.float32)
    (folder / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UserError, match="llama") as model:
        load_gemma(folder, dtype=torch.float32)
    assert (tokenizer.value.code, model.value.code) == ("tokenizer_missing", "wrong_model")


def test_a_quantised_encoder_gives_nearly_the_same_features() -> None:
    exact, near = (
        load_gemma(TINY_BASE / "text_encoder", dtype=torch.float32, quantise=kind).encode(TEXTS)
        for kind in ("no", "int8")
    )
    real = exact.mask.bool()
    distance = (near.hidden[real] - exact.hidden[real]).norm() / exact.hidden[real].norm()
    assert 0 < distance < 0.02
