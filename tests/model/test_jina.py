import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hash_noise import hash_noise
from safetensors.torch import save_file
from text_fixtures import save_jina_tokenizer
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.model.jina import JinaEncoder, load_jina, load_jina_tower

FIGURES = json.loads((Path(__file__).parent / "data" / "text-encoder-figures.json").read_text(encoding="utf-8"))
CASES: dict[str, Any] = FIGURES["cases"]
PADDING = 1
# The official config.json: no sizes of the text tower, adapter settings two levels deep.
OFFICIAL_CONFIG = {
    "model_type": "jina_clip",
    "auto_map": {"AutoConfig": "configuration_clip.JinaCLIPConfig"},
    "text_config": {
        "default_lora_task": "retrieval.query",
        "hf_model_config_kwargs": {"lora_adaptations": ["retrieval.query"], "lora_alpha": 4, "lora_rank": 4},
        "hf_model_name_or_path": "jinaai/jina-embeddings-v3",
    },
    "vision_config": {"width": 1024},
}
PARAMETRISED = ".parametrizations.weight."
ROBERTA = "text_model.transformer.roberta."


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return {name: hash_noise(name, t["shape"], t["mean"], t["std"]) for name, t in FIGURES["tensors"].items()}


def save(folder: Path, tensors: dict[str, Tensor], config: dict[str, Any] = OFFICIAL_CONFIG) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors")
    return folder


def encoder(folder: Path, dtype: torch.dtype = torch.float32) -> JinaEncoder:
    return JinaEncoder(load_jina_tower(folder, dtype=dtype), tokenizer=None)


def without_adapter(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    plain = {name: value for name, value in tensors.items() if ".lora_" not in name}
    return {name.replace(f"{PARAMETRISED}original", ".weight"): value for name, value in plain.items()}


def pooled_of(loaded: JinaEncoder, ids: Tensor) -> Tensor:
    """Of all ids but the padding id, as the original takes them."""
    return loaded.encode_ids(ids, ids != PADDING)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("config", [OFFICIAL_CONFIG, FIGURES["config"], {}], ids=["official", "flat", "empty"])
def test_pooled_figures(tmp_path: Path, tensors: dict[str, Tensor], case: str, config: dict[str, Any]) -> None:
    pooled = pooled_of(encoder(save(tmp_path, tensors, config)), torch.tensor([CASES[case]["ids"]]))
    torch.testing.assert_close(pooled[0], torch.tensor(CASES[case]["pooled"]), rtol=0, atol=1e-4)


def test_a_padded_batch_gives_the_same_figures(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    rows = [torch.tensor(case["ids"]) for case in CASES.values()]
    ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PADDING)
    pooled = pooled_of(encoder(save(tmp_path, tensors)), ids)
    wanted = torch.tensor([case["pooled"] for case in CASES.values()])
    torch.testing.assert_close(pooled, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("prefix", [ROBERTA, "model.", ""])
@pytest.mark.parametrize("case", CASES)
def test_plain_weights_are_taken_as_they_are(
    tmp_path: Path, tensors: dict[str, Tensor], case: str, prefix: str
) -> None:
    plain = {name.replace(ROBERTA, prefix): value for name, value in without_adapter(tensors).items()}
    pooled = pooled_of(encoder(save(tmp_path, plain)), torch.tensor([CASES[case]["ids"]]))
    wanted = torch.tensor(CASES[case]["pooled_without_adapter_first4"])
    torch.testing.assert_close(pooled[0, :4], wanted, rtol=0, atol=1e-4)


def test_adapter_is_merged_before_the_cast(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    folder = save(tmp_path, tensors)
    exact = load_jina_tower(folder, dtype=torch.float32).state_dict()
    half = load_jina_tower(folder, dtype=torch.bfloat16).state_dict()
    name = "layers.1.self_attn.v_proj.weight"
    assert torch.equal(half[name], exact[name].bfloat16())


def test_alpha_over_rank_scales_the_adapter(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    stem = f"{ROBERTA}encoder.layers.0.mlp.fc1{PARAMETRISED}"
    base, a, b = (tensors[stem + end] for end in ("original", "0.lora_A", "0.lora_B"))
    tower = load_jina_tower(save(tmp_path, tensors, {**FIGURES["config"], "lora_alpha": 12}), dtype=torch.float32)
    torch.testing.assert_close(tower.layers[0].mlp.fc1.weight, base + 3 * b[0] @ a[0])


def test_default_task_picks_the_adapter(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    stacked = {n: torch.cat([v * 5, v]) if ".lora_" in n else v for n, v in tensors.items()}
    config = {"default_lora_task": "query", "lora_adaptations": ["passage", "query"]}
    case = CASES["short"]
    pooled = pooled_of(encoder(save(tmp_path, stacked, config)), torch.tensor([case["ids"]]))
    torch.testing.assert_close(pooled[0], torch.tensor(case["pooled"]), rtol=0, atol=1e-4)
    with pytest.raises(UserError, match="2 adapters"):
        encoder(save(tmp_path, stacked, {}))


def test_other_towers_are_left_out_and_strangers_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    known = {"vision_model.patch_embed.proj.weight": torch.ones(2), "logit_scale": torch.ones(1)}
    load_jina_tower(save(tmp_path / "known", {**tensors, **known}), dtype=torch.float32)
    with pytest.raises(UserError, match=r"text_projection\.weight") as caught:
        load_jina_tower(
            save(tmp_path / "odd", {**tensors, "text_projection.weight": torch.ones(1)}), dtype=torch.float32
        )
    assert caught.value.code == "weights_mismatch"


@pytest.mark.parametrize(
    "lost",
    [
        "embeddings.word_embeddings.parametrizations.weight.original",
        "encoder.layers.1.mixer.Wqkv.bias",
        "encoder.layers.0.mlp.fc2.parametrizations.weight.0.lora_A",
        "encoder.layers.0.mlp.fc2.parametrizations.weight.original",
        "emb_ln.weight",
    ],
)
def test_a_missing_tensor_is_an_error(tmp_path: Path, tensors: dict[str, Tensor], lost: str) -> None:
    folder = save(tmp_path, {name: value for name, value in tensors.items() if name != ROBERTA + lost})
    with pytest.raises(UserError, match="missing") as caught:
        load_jina_tower(folder, dtype=torch.float32)
    assert caught.value.code == "weights_mismatch"


def test_texts_go_through_the_folders_tokenizer(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    folder = save(tmp_path, tensors)
    save_jina_tokenizer(folder)
    loaded = load_jina(folder, dtype=torch.float32)
    features = loaded.encode(["", "a girl with red hair"], max_tokens=6)
    torch.testing.assert_close(features.pooled[0], torch.tensor(CASES["empty"]["pooled"]), rtol=0, atol=1e-4)
    assert features.truncated == (False, True)
    ids = torch.tensor([[0, 4, 5, 6, 7, 2]])
    torch.testing.assert_close(features.pooled[1:], pooled_of(loaded, ids), rtol=0, atol=1e-5)


def test_rotary_table_has_base_20000(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    table = load_jina_tower(save(tmp_path, tensors), dtype=torch.bfloat16).rotary_emb.inv_freq
    torch.testing.assert_close(table, 20000.0 ** -(torch.arange(32) / 32))
    assert table.dtype == torch.float32
