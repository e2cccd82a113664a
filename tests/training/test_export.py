"""Exports: the names ComfyUI reads, metadata that others understand, a PEFT folder that PEFT itself loads."""

import json
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from peft import PeftConfig
from peft.utils.save_and_load import load_peft_weights
from safetensors import safe_open
from safetensors.torch import load_file

from trainer_core.contracts import fsutil
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.text_settings import TextSettings
from trainer_core.model.lora_files import read_lora
from trainer_core.model.nextdit import NextDiT
from trainer_core.planning.lora_facts import PEFT_WEIGHTS
from trainer_core.training.adapters import matching_modules
from trainer_core.training.export import TrainingFacts, export_adapter, metadata

WEIGHTS = {
    "layers.0.attention.qkv.lora_A": torch.randn(2, 6),
    "layers.0.attention.qkv.lora_B": torch.randn(10, 2),
    "time_text_embed.1.lora_A": torch.randn(2, 4).bfloat16(),
    "time_text_embed.1.lora_B": torch.nn.Parameter(torch.randn(2, 4)).T,
}
FACTS = TrainingFacts(
    step=120,
    epoch=3,
    images=16,
    tag_frequency={"10_ann": {"1girl": 16, "häkeln": 2}},
    buckets={"1024x1024": 10, "832x1216": 6},
    base_hash="abc",
    started_at=1_700_000_000.0,
)


def config() -> TrainConfig:
    return TrainConfig(
        base_model_path="/models/base", train_data_dir="data", output_name="ann", lora_rank=2, lora_alpha=1.0
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return export_adapter(tmp_path / "exports", WEIGHTS, config(), FACTS)


def metadata_of(file: Path) -> dict[str, str]:
    with safe_open(file, framework="pt") as tensors:
        return tensors.metadata()


def test_the_names_are_those_comfyui_reads(file: Path) -> None:
    assert file.name == "ann-step-00000120.safetensors"
    tensors = load_file(file)
    qkv = "diffusion_model.layers.0.attention.qkv"
    assert {name for name in tensors if name.startswith(qkv)} == {
        f"{qkv}.lora_down.weight",
        f"{qkv}.lora_up.weight",
        f"{qkv}.alpha",
    }
    assert all(name.startswith("diffusion_model.") for name in tensors)
    assert not [name for name in tensors if "to_q" in name or "to_k" in name]
    # Its readers multiply by alpha / rank.
    assert tensors[f"{qkv}.alpha"].shape == () and tensors[f"{qkv}.alpha"].item() == 1.0


def test_a_lokr_is_one_file_with_the_names_comfyui_reads(tmp_path: Path) -> None:
    lokr = replace(config(), adapter_type="lokr", lokr_factor=4, lokr_rank=2)
    w1, a, b = torch.randn(4, 4), torch.randn(3, 2), torch.randn(2, 5)
    weights = {"cap_embedder.1.lokr_w1": w1, "cap_embedder.1.lokr_w2_a": a, "cap_embedder.1.lokr_w2_b": b}
    file = export_adapter(tmp_path, weights, lokr, FACTS)
    assert list(tmp_path.iterdir()) == [file]
    name = "diffusion_model.cap_embedder.1"
    assert load_file(file).keys() == {f"{name}.{leaf}" for leaf in ("lokr_w1", "lokr_w2_a", "lokr_w2_b", "alpha")}
    torch.testing.assert_close(read_lora(file).modules["cap_embedder.1"].delta(), 0.5 * torch.kron(w1, a @ b))
    stated = metadata_of(file)
    assert (stated["ss_network_module"], stated["ss_network_dim"]) == ("lycoris.kohya", "2")
    assert json.loads(stated["ss_network_args"])["algo"] == "lokr"
    whole = metadata(replace(lokr, lokr_rank=0), FACTS)
    assert not {"ss_network_dim", "ss_network_alpha"} & whole.keys()


def test_values_are_stored_in_fp32_unscaled(file: Path) -> None:
    tensors = load_file(file)
    assert {value.dtype for value in tensors.values()} == {torch.float32}
    name = "diffusion_model.layers.0.attention.qkv.lora_up.weight"
    assert torch.equal(tensors[name], WEIGHTS["layers.0.attention.qkv.lora_B"])


def test_no_key_makes_the_loader_node_scale_twice(file: Path) -> None:
    metadata = metadata_of(file)
    assert all(isinstance(value, str) for value in metadata.values())
    assert not {"lora_rank", "lora_alpha"} & set(metadata)
    text = TextSettings.default().metadata()
    assert metadata.items() >= text.items() and "<Prompt Start> " in text["newbie_system_prompt_xml"]
    assert metadata_of(file.with_name("ann-step-00000120-peft") / PEFT_WEIGHTS[0]).items() >= text.items()
    assert metadata["ss_network_dim"] == "2" and metadata["ss_network_alpha"] == "1.0"


def test_metadata_tell_web_uis_what_it_is(file: Path) -> None:
    metadata = metadata_of(file)
    assert metadata["ss_output_name"] == "ann"
    assert json.loads(metadata["ss_tag_frequency"]) == {"10_ann": {"1girl": 16, "häkeln": 2}}
    buckets = json.loads(metadata["ss_bucket_info"])["buckets"]
    assert buckets["1"] == {"resolution": [832, 1216], "count": 6}
    assert float(metadata["ss_training_started_at"]) == 1_700_000_000.0
    assert metadata["modelspec.license"].startswith("Newbie-NC")
    assert len(metadata["sshs_model_hash"]) == 64


@pytest.mark.parametrize(("transformer", "named"), [("", "base"), ("/models/other.safetensors", "other.safetensors"),
                                                    ("/models/tuned/transformer", "tuned")])  # fmt: skip
def test_the_loaded_transformer_is_named_and_every_process_counts(transformer: str, named: str) -> None:
    changed = replace(config(), transformer_path=transformer, train_batch_size=2, gradient_accumulation_steps=3)
    values = metadata(changed, replace(FACTS, processes=4))
    assert (values["ss_sd_model_name"], values["ss_total_batch_size"]) == (named, "24")


def test_the_hash_is_of_the_tensors_alone(file: Path, tmp_path: Path) -> None:
    again = export_adapter(tmp_path / "again", WEIGHTS, config(), FACTS)
    other = {**WEIGHTS, "time_text_embed.1.lora_A": torch.zeros(2, 4)}
    changed = export_adapter(tmp_path / "changed", other, config(), FACTS)
    hashes = [metadata_of(path)["sshs_model_hash"] for path in (file, again, changed)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_the_hash_is_what_kohyas_readers_compute(file: Path) -> None:
    for written in (file, file.with_name("ann-step-00000120-peft") / PEFT_WEIGHTS[0]):
        data = written.read_bytes()
        header = int.from_bytes(data[:8], "little")
        assert metadata_of(written)["sshs_model_hash"] == sha256(data[8 + header :]).hexdigest()


def test_pefts_own_loader_reads_the_folder(file: Path) -> None:
    folder = file.with_name("ann-step-00000120-peft")
    settings = PeftConfig.from_pretrained(str(folder))
    assert (settings.r, settings.lora_alpha, settings.peft_type) == (2, 1.0, "LORA")
    assert settings.base_model_name_or_path == "base"  # without the folders above it: people pass the file on
    assert set(settings.target_modules) == {"layers.0.attention.qkv", "time_text_embed.1"}
    weights = load_peft_weights(str(folder), device="cpu")
    assert set(weights) == {f"base_model.model.{name}.weight" for name in WEIGHTS}
    assert torch.equal(
        weights["base_model.model.layers.0.attention.qkv.lora_A.weight"], WEIGHTS["layers.0.attention.qkv.lora_A"]
    )


def test_both_forms_are_read_back_alike(file: Path) -> None:
    for path in (file, file.with_name("ann-step-00000120-peft")):
        modules = read_lora(path).modules
        assert {name: module.alpha for name, module in modules.items()} == {
            "layers.0.attention.qkv": 1.0,
            "time_text_embed.1": 1.0,
        }
        for name, read in modules.items():
            assert torch.equal(read.down, WEIGHTS[f"{name}.lora_A"].float())
            assert torch.equal(read.up, WEIGHTS[f"{name}.lora_B"].float())


def test_an_export_is_replaced_whole_and_leaves_nothing_aside(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_adapter(file.parent, WEIGHTS, config(), FACTS)
    assert sorted(path.name for path in file.parent.iterdir()) == ["ann-step-00000120-peft", file.name]
    before = file.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fsutil, "fsync_file", full)
    with pytest.raises(OSError):
        export_adapter(file.parent, WEIGHTS, config(), FACTS)
    assert file.read_bytes() == before


def test_every_module_gets_the_name_comfyui_maps(tmp_path: Path) -> None:
    """ComfyUI's map: `diffusion_model.` + a weight's name without `.weight`, for every weight of the model."""
    with torch.device("meta"):
        model = NextDiT()
    targets = ["attention.qkv", "attention.out", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3",
               "time_text_embed.1", "clip_text_pooled_proj.1", "adaLN_modulation.1", "cap_embedder.1"]  # fmt: skip
    modules = matching_modules(model, targets)
    mapped = {f"diffusion_model.{name.removesuffix('.weight')}" for name in model.state_dict()}
    weights = {f"{m}.lora_{side}": torch.ones(1, 1) for m in modules for side in "AB"}
    names = set(load_file(export_adapter(tmp_path, weights, config(), FACTS)))
    assert len(modules) == 242
    assert names == {f"diffusion_model.{m}.{end}" for m in modules
                     for end in ("lora_up.weight", "lora_down.weight", "alpha")}  # fmt: skip
    assert {name.rsplit(".lora_", 1)[0].removesuffix(".alpha") for name in names} <= mapped
