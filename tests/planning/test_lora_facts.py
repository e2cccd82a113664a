"""A LoRA's facts from its header: the same verdict as reading it whole, at once and without running anything."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from trainer_core.contracts.errors import UserError
from trainer_core.planning.lora_facts import MAX_HEADER_BYTES, MAX_METADATA_CHARACTERS, LoraFacts, lora_facts

QKV, W2 = "layers.0.attention.qkv", "layers.1.feed_forward.w2"
Arrays = dict[str, np.ndarray]


def module(name: str, rank: int, alpha: float | None = None) -> Arrays:
    """ComfyUI's names; 8 outputs, 6 inputs."""
    key = f"diffusion_model.{name}"
    halves: Arrays = {f"{key}.lora_down.weight": np.ones((rank, 6), np.float16)}
    halves[f"{key}.lora_up.weight"] = np.ones((8, rank), np.float16)
    return halves if alpha is None else halves | {f"{key}.alpha": np.array(alpha, np.float32)}


def facts(file: Path, tensors: Arrays, metadata: dict[str, str] | None = None) -> LoraFacts:
    save_file(tensors, file, metadata)
    return lora_facts(file)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "\u6a21\u578b.safetensors"


def test_a_comfyui_file(file: Path) -> None:
    found = facts(file, module(QKV, 4, 0.1) | module(W2, 4, 0.1), {"ss_output_name": "<b>ann</b>"})
    assert (found.form, found.rank, found.alpha, found.mixed, found.dora) == ("comfyui", 4, 0.1, False, False)
    assert (found.modules, found.parameters, found.bytes) == (2, 2 * 4 * (6 + 8), file.stat().st_size)
    assert found.metadata == {"ss_output_name": "<b>ann</b>"} and found.path == file


def test_mixed_ranks_and_a_magnitude_are_told(file: Path) -> None:
    dora = {f"diffusion_model.{QKV}.dora_scale": np.ones((8, 1), np.float32)}
    found = facts(file, module(QKV, 4) | module(W2, 2) | dora)
    assert found.mixed and found.dora and found.alpha is None and found.rank == 4


def lokr(*roles: str, prefix: str = "lycoris_layers_0_attention_qkv", alpha: float = 3) -> Arrays:
    """The upstream trainer's names; 8 outputs, 6 inputs."""
    shapes = {"w1": (2, 2), "w2": (4, 3), "w2_a": (4, 1), "w2_b": (1, 3)}
    return {f"{prefix}.lokr_{role}": np.ones(shapes[role], np.float32) for role in roles} | {
        f"{prefix}.alpha": np.array(alpha, np.float32)
    }


def test_a_lokr(file: Path) -> None:
    found = facts(file, lokr("w1", "w2", alpha=114514))
    assert (found.lokr, found.form, found.rank, found.alpha) == (True, "other", 0, None)
    assert (found.modules, found.parameters) == (1, 4 + 12)
    found = facts(file, lokr("w1", "w2_a", "w2_b", prefix=f"diffusion_model.{QKV}"))
    assert (found.lokr, found.form, found.rank, found.alpha, found.mixed) == (True, "comfyui", 1, 3.0, False)
    assert not facts(file, module(QKV, 4)).lokr


def peft_folder(folder: Path, **settings: object) -> Path:
    folder.mkdir(parents=True)
    halves = {f"base_model.model.{QKV}.lora_A.weight": np.ones((4, 6), np.float32)}
    halves[f"base_model.model.{QKV}.lora_B.weight"] = np.ones((8, 4), np.float32)
    save_file(halves, folder / "adapter_model.safetensors")
    values = {"peft_type": "LORA", "r": 4, "lora_alpha": 6, **settings}
    (folder / "adapter_config.json").write_text(json.dumps(values))
    return folder


def test_a_peft_folder_and_rslora(tmp_path: Path) -> None:
    found = lora_facts(peft_folder(tmp_path / "plain"))
    assert (found.form, found.alpha, found.path.name) == ("peft", 6.0, "adapter_model.safetensors")
    assert lora_facts(peft_folder(tmp_path / "rs", use_rslora=True)).alpha == 12.0


def test_a_run_folder_means_its_newest_export(tmp_path: Path) -> None:
    exports = tmp_path / "run" / "exports"
    exports.mkdir(parents=True)
    for step in (9, 10):
        save_file(module(QKV, step), exports / f"a-step-{step:08d}.safetensors")
    assert lora_facts(tmp_path / "run").rank == 10


def test_of_long_metadata_the_short_entries_stay_and_one_is_cut(file: Path) -> None:
    long = {"a": "x" * MAX_METADATA_CHARACTERS, "b": "y", "c": "z" * (MAX_METADATA_CHARACTERS + 1), "d": ""}
    found = facts(file, module(QKV, 4), long)
    kept = found.metadata
    assert (kept["b"], kept["d"], found.more_metadata) == ("y", "", 1)
    assert kept["a"].startswith("xxx") and kept["a"].endswith("x…") and "c" not in kept
    assert sum(len(name) + len(value) for name, value in kept.items()) == MAX_METADATA_CHARACTERS


def test_metadata_that_just_fit_are_kept_whole(file: Path) -> None:
    long = {"a": "x" * (MAX_METADATA_CHARACTERS - 3), "b": "y"}
    found = facts(file, module(QKV, 4), long)
    assert (found.metadata, found.more_metadata) == (long, 0)


def test_a_header_that_is_too_large_is_called_so(file: Path) -> None:
    with pytest.raises(UserError, match=r"too large \(16,777,\d{3} bytes; allowed: up to 16,777,216\)"):
        facts(file, module(QKV, 4), {"a": "x" * MAX_HEADER_BYTES})


@pytest.mark.parametrize(
    ("tensors", "code", "said"),
    [
        ({"model.layers.0.mlp.weight": np.ones((2, 2), np.float32)}, "lora_unsupported", "whole weights"),
        ({"lora_unet_down_blocks_0_x.lora_down.weight": np.ones((2, 2))}, "lora_unsupported", "Stable Diffusion"),
        ({f"diffusion_model.{QKV}.lora_down.weight": np.ones((2, 6))}, "lora_unreadable", "one half"),
        (module(QKV, 4, -1.0), "lora_unreadable", "alpha is -1"),
        (module(QKV, 4) | {f"base_model.model.{QKV}.lora_A.weight": np.ones((4, 6))}, "lora_unreadable", "twice"),
        (
            module(QKV, 4) | {f"diffusion_model.{QKV}.lora_up.weight": np.ones((8, 3), np.float32)},
            "lora_unreadable",
            "different ranks, 4 and 3",
        ),
        (lokr("w1"), "lora_unreadable", "two factors"),
        (lokr("w1", "w2", "w2_a"), "lora_unreadable", "two factors"),
        (lokr("w1", "w2", prefix=f"diffusion_model.{QKV}") | module(QKV, 4), "lora_unreadable", "two factors"),
        (lokr("w1", "w2", prefix="transformer.layers.0.attn.to_q"), "lora_unreadable", "no fused form"),
        (
            lokr("w1", "w2_a") | {"lycoris_layers_0_attention_qkv.lokr_w2_b": np.ones((2, 3), np.float32)},
            "lora_unreadable",
            "different ranks, 2 and 1",
        ),
    ],
)
def test_what_is_no_lora_for_this_model_is_refused_by_name(file: Path, tensors: Arrays, code: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        facts(file, tensors)
    assert caught.value.code == code


def test_a_file_that_was_cut_off_is_refused(file: Path) -> None:
    save_file(module(QKV, 4), file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(UserError, match="cut short"):
        lora_facts(file)


@pytest.mark.parametrize("name", ["a.pt", "a.bin", "a.safetensors"])
def test_pickles_and_rubbish_are_refused_unread(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04\x95" + b"x" * 100)
    for path in (tmp_path / name, tmp_path, tmp_path / "absent"):
        with pytest.raises(UserError) as caught:
            lora_facts(path)
        assert caught.value.code == "lora_unreadable"
