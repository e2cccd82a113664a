"""What is carried out differently on a CPU, and that it is said; what is refused before anything is encoded."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.demo import TINY_BASE
from trainer_core.training.checks import adapted, base_of, check_early
from trainer_core.training.resume import check_rerun
from trainer_core.training.run import run_training

CPU = torch.device("cpu")
CONFIG = TrainConfig(base_model_path="b", train_data_dir="d", optimizer_type="AdamW")


def test_8_bit_adam_becomes_adam_on_a_cpu() -> None:
    found, notes = adapted(replace(CONFIG, optimizer_type="AdamW8bit"), CPU)
    assert found.optimizer_type == "AdamW" and "AdamW8bit needs an NVIDIA GPU" in notes[0]


def test_flash_attention_falls_back_in_words() -> None:
    found, notes = adapted(replace(CONFIG, use_flash_attention_2=True), CPU)
    assert found.attention_backend == "sdpa" and "flash-attn needs an NVIDIA GPU" in notes[0]


def test_blocks_that_are_skipped_of_a_checkpointing_that_is_off_are_spoken_of() -> None:
    found, notes = adapted(replace(CONFIG, checkpoint_skip_every=3, gradient_checkpointing=False), CPU)
    assert found.checkpoint_skip_every == 3 and "checkpoint_skip_every = 3 does nothing" in notes[0]
    assert adapted(replace(CONFIG, checkpoint_skip_every=3), CPU)[1] == []


def test_nothing_else_changes() -> None:
    assert adapted(CONFIG, CPU) == (CONFIG, [])


@pytest.mark.parametrize("place", ["file", "file/below/it", "closed/new"])
def test_a_cache_that_cannot_be_kept_is_refused_early(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "closed").mkdir()
    # A right of the system's: whoever runs the tests may have all of them.
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, *asked: Path(path).name != "closed" and access(path, *asked))
    config = replace(
        CONFIG, base_model_path=str(TINY_BASE), train_data_dir=str(tmp_path / "closed"),
        output_dir=str(tmp_path / "out"), cache_dir=str(tmp_path / place),
    )  # fmt: skip
    with pytest.raises(UserError, match=rf"{place}: .*{place.partition('/')[0]}\)\.$") as caught:
        check_early(config, base_of(config), CPU)
    assert caught.value.code == "cache_unusable" and not (tmp_path / "out").exists()
    check_early(replace(config, use_cache=False), base_of(config), CPU)


@pytest.mark.parametrize(("part", "spoilt", "said"), [
    ("transformer", "diffusion_pytorch_model.safetensors", "do not fit the NextDiT"),
    ("text_encoder", "tokenizer.json", "no Gemma tokenizer"),
])  # fmt: skip
def test_a_base_that_cannot_be_loaded_is_refused_early(tmp_path: Path, part: str, spoilt: str, said: str) -> None:
    shutil.copytree(TINY_BASE, tmp_path / "base")
    file = tmp_path / "base" / part / spoilt
    if file.suffix == ".safetensors":
        save_file(dict(list(load_file(file).items())[:-1]), file)
    else:
        file.unlink()
    config = replace(CONFIG, base_model_path=str(tmp_path / "base"), train_data_dir=str(tmp_path), output_dir="out")
    with pytest.raises(UserError, match=said):
        check_early(config, base_of(config), CPU)


def start_of_rank(rank: int, folder: Path) -> TrainConfig:
    """A training of rank 4 on one module of the built-in base, from a LoRA of `rank` on the same module."""
    weights = {"lora_A": torch.zeros(rank, 192), "lora_B": torch.zeros(384, rank)}
    file = folder / "start.safetensors"
    save_file({f"layers.0.attention.qkv.{name}.weight": value for name, value in weights.items()}, file)
    return TrainConfig(
        base_model_path=str(TINY_BASE), train_data_dir=str(folder), output_dir=str(folder.with_name("out")),
        optimizer_type="AdamW", lora_rank=4, lora_alpha=4.0, lora_target_modules=["layers.0.attention.qkv"],
        resume_from_lora=str(file),
    )  # fmt: skip


def test_a_start_of_another_rank_is_refused_early(tmp_path: Path) -> None:
    right = start_of_rank(4, tmp_path)
    check_early(right, base_of(right), CPU)
    wrong = start_of_rank(3, tmp_path)
    with pytest.raises(UserError, match=r"other shape: layers\.0\.attention\.qkv\.lora_A") as caught:
        check_early(wrong, base_of(wrong), CPU)
    assert caught.value.code == "lora_mismatch"


def test_a_run_with_a_checkpoint_needs_its_start_no_more(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    config = start_of_rank(4, tmp_path / "data")
    Path(config.resume_from_lora).unlink()
    with pytest.raises(UserError, match="does not exist"):
        check_early(config, base_of(config), CPU)
    run = RunDir(Path(config.output_dir) / config.output_name)
    run.create(config)
    checkpoint = run.checkpoints / "step-00000001"
    checkpoint.mkdir()
    (checkpoint / "manifest.json").write_text('{"state.json": {"size": 2, "sha256": ""}}')
    (checkpoint / "state.json").write_text("{}")
    check_early(config, base_of(config), CPU)
    assert [change.name for change in check_rerun(run, replace(config, resume_from_lora=""))] == ["resume_from_lora"]


def test_a_run_folder_whose_name_is_too_long_is_refused_before_anything_is_read() -> None:
    with pytest.raises(UserError, match="cannot be used: File name too long"):
        run_training(replace(CONFIG, output_dir="o" * 300))
