"""Config files as the upstream trainer's users have them, and what their keys do here."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from runs import events, losses, run_of

from trainer_core.cli import main
from trainer_core.contracts.config import TrainConfig, load_config
from trainer_core.contracts.errors import UserError
from trainer_core.planning.demo import TINY_BASE
from trainer_core.training.run import run_training

Make = Callable[..., TrainConfig]

# The keys, sections and values of the upstream trainer's public lora.toml; only the paths are ours.
UPSTREAM = """\ufeff[Model]
base_model_path = '{base}'
trust_remote_code = true
output_dir = "./output"
output_name = "大頭"
train_data_dir = '{data}'
resolution = 1024
dataloader_num_workers = 8
enable_bucket = true
use_cache = true
gemma3_prompt = "You are an assistant designed to generate high-quality anime images with the highest degree of \
image-text alignment based on textual prompts. <Prompt Start>"
train_batch_size = 4
num_epochs = 30
save_epochs_interval = 1
learning_rate = 1e-4
lr_scheduler = "cosine"
lr_warmup_steps = 0
gradient_checkpointing = true
mixed_precision = "bf16"
lora_rank = 8
lora_alpha = 4
lora_dropout = 0.05
lora_target_modules = [
    "attention.qkv",
    "attention.out",
    "feed_forward.w2",
    "time_text_embed.1",
    "clip_text_pooled_proj.1",
]
[Optimization]
optimizer_type = "AdamW8bit"
gradient_clip_norm = 1.0
use_flash_attention_2 = true
"""


def test_the_upstream_lora_toml_trains_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "#Goofy 画像" / "2_頭"
    folder.mkdir(parents=True)
    Image.new("RGB", (64, 64), "red").save(folder / "0.jpg")
    (folder / "0.txt").write_text("1girl, red background", encoding="utf-8")
    (tmp_path / "lora.toml").write_text(UPSTREAM.format(base=TINY_BASE, data=folder.parent), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(["train", "lora.toml"]) == 0
    assert "trust_remote_code is ignored" in capsys.readouterr().out
    made = load_config(tmp_path / "lora.toml")
    assert len(losses(made)) == 30 and run_of(made).status() == "finished"
    told = " ".join(event["message"] for event in events(made, "warning"))
    assert "AdamW8bit needs an NVIDIA GPU" in told and "flash-attn" in told and "does not end in a space" in told


def test_without_a_cache_the_run_is_the_same_and_the_disk_stays_empty(
    config: Make, finished: TrainConfig, tmp_path: Path
) -> None:
    uncached = config("uncached", num_epochs=1, use_cache=False, cache_dir=str(tmp_path / "none"))
    run_training(uncached)
    assert losses(uncached) == losses(finished) and not (tmp_path / "none").exists()


def test_37_threads_change_nothing(config: Make, finished: TrainConfig) -> None:
    other = config("other", num_epochs=1, dataloader_num_workers=0)
    assert other.dataloader_num_workers != finished.dataloader_num_workers
    run_training(other)
    assert losses(other) == losses(finished)


def test_a_vae_of_another_model_is_refused_before_anything_is_encoded(config: Make, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    widths, kinds = [16] * 4, "EncoderBlock2D"
    vae = AutoencoderKL(
        latent_channels=4, block_out_channels=widths, norm_num_groups=8,
        down_block_types=[f"Down{kinds}"] * 4, up_block_types=["UpDecoderBlock2D"] * 4,
    )  # fmt: skip
    vae.save_pretrained(tmp_path / "sdxl")
    made = config(vae_path=str(tmp_path / "sdxl"))
    with pytest.raises(
        UserError, match="sdxl does not fit the transformer: its latents have 4 channels, 16 are needed"
    ):
        run_training(made)
    assert not run_of(made).path.exists()


def test_a_base_put_together_by_parts_trains_alike(config: Make, finished: TrainConfig) -> None:
    names = {"transformer_path": "transformer", "gemma_model_path": "text_encoder", "clip_model_path": "clip_model",
             "vae_path": "vae"}  # fmt: skip
    parts = {option: str(TINY_BASE / folder) for option, folder in names.items()}
    made = config("parts", num_epochs=1, base_model_path="", **parts)
    run_training(made)
    assert losses(made) == losses(finished)


def test_tensorboard_holds_what_the_events_hold(config: Make) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    made = config(num_epochs=1, tensorboard=True, sample_prompts=["1girl"], sample_steps=1, validation_split=0.2)
    run_training(made)
    board = EventAccumulator(str(run_of(made).board)).Reload()
    assert [scalar.value for scalar in board.Scalars("train/loss")] == pytest.approx(losses(made))
    assert [scalar.step for scalar in board.Scalars("validation/loss")] == [0, len(losses(made))]
    assert [image.step for image in board.Images("sample 00")] == [0, len(losses(made))]
