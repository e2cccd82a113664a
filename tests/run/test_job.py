"""One whole job: events, samples, exports, merge."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import events, losses, run_of
from safetensors import safe_open

from trainer_core.cli import main
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import load_transformer
from trainer_core.model.lora_files import read_lora
from trainer_core.model.nextdit import NextDiT
from trainer_core.planning.adapter import LoraShape
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.lora_facts import newest_export
from trainer_core.tools.merge import merge
from trainer_core.training.adapters import add_adapter, load_weights, start_weights
from trainer_core.training.checkpoint import newest_checkpoint
from trainer_core.training.run import run_training

Make = Callable[..., TrainConfig]


def test_the_step_event_and_the_samples(config: Make) -> None:
    made = config(num_epochs=1, sample_prompts=["1girl, red hair", "1girl, 青い髪"], sample_steps=2, sample_seed=5)
    assert run_training(made) == "finished"
    event = events(made, "step")[-1]
    assert {"loss", "loss_smoothed", "lr", "grad_norm", "images_per_second", "memory_gib", "eta_seconds"} <= set(event)
    assert [(e["step"], e["number"]) for e in events(made, "sample")] == [(0, 0), (0, 1), (4, 0), (4, 1)]
    # Each phase that this run went through; which ones it needed to encode depends on the cache.
    phases = [event["phase"] for event in events(made, "memory")]
    assert phases[0] == "checking data" and len(set(phases) & {"loading the transformer", "training"}) == 2
    assert all(event["process_gib"] > 0 and event["peak_gib"] is None for event in events(made, "memory"))
    with Image.open(run_of(made).path / events(made, "sample")[0]["path"]) as picture:
        assert picture.size == (128, 128) and '"seed": 5' in picture.text["newbie"]


def test_merged_and_adapted_models_give_the_same_velocity(finished: TrainConfig, tmp_path: Path) -> None:
    file = newest_export(run_of(finished).path)
    # Four steps teach little: a strength of 50 lifts the LoRA far above the bf16 rounding of the merged weights.
    folder = merge(TINY_BASE, [(file, 50.0)], tmp_path / "merged", lambda name, done, total: None)
    base, adapted, merged = (transformer(path) for path in (TINY_BASE, TINY_BASE, folder))
    parameters = add_adapter(
        adapted, LoraShape(rank=4), targets=finished.lora_target_modules, alpha=50 * 4.0, dropout=0.0, seed=0
    )
    load_weights(parameters, start_weights(file, LoraShape(rank=4), 4.0), "export")
    generator = torch.Generator().manual_seed(1)
    shapes = ((1, 16, 8, 8), (1, 6, 128), (1, 128))
    latents, feats, pooled = (torch.randn(shape, generator=generator) for shape in shapes)
    with torch.no_grad():
        untouched, one, other = (
            model(latents, torch.tensor([0.4]), feats, (6,), pooled) for model in (base, adapted, merged)
        )
    assert (one - other).norm() < 0.02 * (one - untouched).norm()


def transformer(base: Path) -> NextDiT:
    return load_transformer(base / "transformer", dtype=torch.float32, device="cpu").eval()


def test_a_strict_run_stops_at_a_broken_image_and_a_lenient_one_names_it(config: Make, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    Image.new("RGB", (128, 128), "red").save(data / "good.png")
    (data / "cut.png").write_bytes((data / "good.png").read_bytes()[:150])
    with pytest.raises(UserError, match=r"cut\.png"):
        run_training(config(train_data_dir=str(data), strict_data=True, num_epochs=1))
    made = config("lenient", train_data_dir=str(data), num_epochs=1)
    run_training(made)
    assert len(losses(made)) == 1 and any("cut.png" in event["message"] for event in events(made, "warning"))


def test_a_bad_config_is_told_whole_with_exit_code_2_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.toml").write_text('train_data_dir = "x"\nresolution = 100\nlora_rnak = 3\n', encoding="utf-8")
    assert main(["train", "bad.toml"]) == 2
    told = capsys.readouterr().err
    assert "base_model_path" in told and "resolution" in told and "lora_rank" in told
    assert [path.name for path in tmp_path.iterdir()] == ["bad.toml"]


def test_the_cache_is_used_again_and_gives_the_same_run(config: Make, finished: TrainConfig) -> None:
    again = config("again", num_epochs=1)
    run_training(again)
    assert losses(again) == losses(finished)
    assert not [event for event in events(again, "phase") if event["phase"].startswith("encoding")]


def test_metadata_of_the_export(finished: TrainConfig) -> None:
    with safe_open(newest_export(run_of(finished).path), framework="pt") as file:
        metadata, names = file.metadata(), set(file.keys())
    assert metadata["ss_output_name"] == "run" and not {"lora_rank", "lora_alpha"} & set(metadata)
    assert "diffusion_model.layers.0.attention.qkv.alpha" in names and all(
        n.startswith("diffusion_model.") for n in names
    )
    # Two of the five pictures count twice.
    assert metadata["ss_num_train_images"] == "7"
    assert sum(bucket["count"] for bucket in json.loads(metadata["ss_bucket_info"])["buckets"].values()) == 7


def test_cut_captions_are_named_each_time(config: Make) -> None:
    for name in ("first", "second"):
        made = config(name, num_epochs=1, max_gemma_tokens=30, shuffle_caption=False)
        run_training(made)
        assert sum("cut at 30 tokens" in event["message"] for event in events(made, "warning")) == 5


def test_a_run_may_start_from_a_lora_at_its_own_strength(config: Make) -> None:
    first = config("first", lora_alpha=8.0)
    run_training(first)
    export = newest_export(run_of(first).path)
    on = config("on", resume_from_lora=str(export), max_train_steps=1, learning_rate=1e-12, lr_scheduler="constant")
    run_training(on)
    ours, theirs = (read_lora(path).modules for path in (newest_export(run_of(on).path), export))
    for name, module in theirs.items():
        # alpha 8 / rank 4 becomes alpha 4 / rank 4, so B carries the factor 2.
        torch.testing.assert_close(ours[name].up, module.up * 2.0)
        torch.testing.assert_close(ours[name].down, module.down)


def test_bf16_with_checkpointing_follows_fp32_closely(config: Make, finished: TrainConfig) -> None:
    """The path a GPU takes: base in bf16 under autocast, adapter in fp32, blocks recomputed."""
    more = {"gradient_checkpointing": True, "sample_prompts": ["1girl"], "sample_steps": 2}
    rounded = config("rounded", num_epochs=1, mixed_precision="bf16", **more)
    run_training(rounded)
    exact = losses(finished)
    assert losses(rounded) == pytest.approx(exact, rel=0.03) and losses(rounded) != exact
    assert len(events(rounded, "sample")) == 2
    checkpoint, _ = newest_checkpoint(run_of(rounded).checkpoints)
    assert checkpoint is not None and {value.dtype for value in checkpoint.adapter.values()} == {torch.float32}
