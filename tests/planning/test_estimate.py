"""The whole estimate: what adds up, what follows which option, what is said where nothing is known."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import Bucket, DataFacts
from trainer_core.planning import phases
from trainer_core.planning.base import BaseSizes
from trainer_core.planning.estimate import Estimate, estimate
from trainer_core.planning.phases import optimizer_bytes
from trainer_core.training import features
from trainer_core.training.optim import build_optimizer

GIB = 2**30
DATA = DataFacts(
    buckets=(Bucket(width=1024, height=1024, images=30, shown=60), Bucket(width=832, height=1216, images=10, shown=20)),
    captions=40,
    longest_tokens=200,
    mean_tokens=120.0,
)


def config(folder: Path, **values: object) -> TrainConfig:
    given = {"base_model_path": "/no", "train_data_dir": "x", "output_dir": str(folder), **values}
    return TrainConfig(**given)  # type: ignore[arg-type]


def part(result: Estimate, phase: str, name: str) -> int:
    (found,) = [p for p in result.phases if p.name == phase]
    return next(component.bytes for component in found.components if component.name == name)


def test_the_released_model_with_default_settings(tmp_path: Path):
    result = estimate(config(tmp_path), DATA)
    assert part(result, "training", "weights") == 2 * 3_486_636_096
    assert part(result, "training", "adapter") == 4 * 896_000 * 32 == part(result, "training", "gradients")
    assert result.peak.name == "training" and 8 < result.peak.bytes / GIB < 9
    assert result.steps is not None and result.steps.total_steps == 50 * 80
    assert result.seconds is None and result.reserve > GIB / 2
    assert {p.name for p in result.phases} >= {"encoding captions (Gemma3)", "encoding images", "training"}


def test_a_steps_arithmetic_does_not_depend_on_how_many_images_are_computed_at_once(tmp_path: Path):
    whole, single = (
        estimate(config(tmp_path, train_batch_size=4, micro_batch_size=size), DATA, base=BaseSizes()).flops_per_step
        for size in (0, 1)
    )
    assert single == pytest.approx(whole, rel=1e-3)


def test_without_data_only_memory_is_estimated_and_that_is_said(tmp_path: Path):
    result = estimate(config(tmp_path), None)
    assert result.steps is None and result.seconds is None
    assert any("No data set was read" in note for note in result.notes)
    assert any(note.startswith("vae:") for note in result.notes)


@pytest.mark.parametrize(
    ("change", "less"),
    [
        ({"gradient_checkpointing": False}, False),
        ({"checkpoint_skip_every": 4}, False),
        ({"quantize_base": "int8"}, True),
        ({"quantize_base": "nf4"}, True),
        ({"swap_blocks": 18}, True),
        ({"optimizer_type": "AdamW"}, False),
        ({"train_batch_size": 2}, False),
        ({"mixed_precision": "no"}, False),
        ({"mixed_precision": "fp16"}, False),
        ({"lora_rank": 128}, False),
        ({"lora_target_modules": ["attention.qkv"]}, True),
    ],
)
def test_training_memory_follows_the_options(change: dict[str, object], less: bool, tmp_path: Path):
    before, after = (estimate(config(tmp_path, **c), DATA, base=BaseSizes()).phases[3].bytes for c in ({}, change))
    assert (after < before) is less and after != before


def test_a_smaller_bucket_counts_with_the_images_it_really_has(tmp_path: Path):
    few = replace(DATA, buckets=(Bucket(width=1024, height=1024, images=1, shown=1),))
    settings = config(tmp_path, train_batch_size=4)
    full, alone = (estimate(settings, data, base=BaseSizes()).phases[3].bytes for data in (DATA, few))
    assert alone == estimate(config(tmp_path), few, base=BaseSizes()).phases[3].bytes < full


def test_optimizer_state_of_the_real_adamw():
    parameters = [torch.nn.Parameter(torch.randn(size)) for size in (10, 5000, 300)]
    optimizer = build_optimizer(
        TrainConfig(base_model_path="b", train_data_dir="x", optimizer_type="AdamW"), parameters, torch.device("cpu")
    )
    sum(p.sum() for p in parameters).backward()
    optimizer.step()
    held = [v for state in optimizer.state.values() for v in state.values()]
    assert optimizer_bytes("AdamW", [10, 5000, 300]) == sum(v.numel() * v.element_size() for v in held)


def test_optimizer_state_in_8_bits_by_its_layout():
    tables, scales = 2 * 256 * 4, 2 * 4 * 20
    assert optimizer_bytes("AdamW8bit", [5000]) == 2 * 5000 + scales + tables
    assert optimizer_bytes("AdamW8bit", [4095]) == 8 * 4095


def test_batches_of_the_encoders_are_those_of_the_feature_store():
    assert (features.gpu_image_batch, features.GPU_TEXT_BATCH) == (phases.gpu_image_batch, phases.GPU_TEXT_BATCH)
    sizes = ((512, 512), (1024, 1024), (1536, 1024), (1536, 1536), (4096, 1024), (2048, 2048))
    assert [phases.gpu_image_batch(*size, 2) for size in sizes] == [4, 4, 2, 1, 1, 1]
    assert [phases.gpu_image_batch(*size, 4) for size in sizes] == [4, 2, 1, 1, 1, 1]


def test_before_ampere_the_vae_counts_in_32_bits_and_encodes_fewer_pictures_at_once(tmp_path: Path):
    settings = config(tmp_path, sample_prompts=["a"], resolution=1024)
    new, old = (estimate(settings, DATA, base=BaseSizes(), old_card=card) for card in (False, True))
    grown = {one.name: other.bytes - one.bytes for one, other in zip(new.phases, old.phases, strict=True)}
    weights = 2 * BaseSizes().vae.parameters
    # Strips have a fixed count of numbers; maps of half the pictures take what they took.
    assert weights <= grown.pop("encoding images") < 1.5 * weights and part(old, "sampling", "VAE") == 2 * weights
    assert grown.pop("sampling") > weights and not any(grown.values())
    cpu = [estimate(settings, DATA, base=BaseSizes(), cuda=False, old_card=card).phases for card in (False, True)]
    assert cpu[0] == cpu[1]


def test_disk_grows_with_saves_and_the_cache_can_stay_in_memory(tmp_path: Path):
    settings = config(tmp_path / "not" / "yet", keep_last_n_checkpoints=3, optimizer_type="AdamW")
    disk = {c.name: c.bytes for c in estimate(settings, DATA).disk.components}
    adapter = 4 * 896_000 * 32
    assert disk["exports"] == 50 * 2 * adapter
    assert disk["checkpoints"] == 4 * (3 * adapter + 4 * 2 * 122)
    latents = (30 * 128 * 128 + 10 * 104 * 152) * 16 * 4
    assert disk["feature cache"] == latents + 40 * 2 * (120 * 2560 + 1024)
    assert estimate(settings, DATA).disk.free
    kept = estimate(replace(settings, use_cache=False), DATA)
    assert next(c.bytes for c in kept.disk.components if c.name == "feature cache") == 0
    assert kept.host.bytes - estimate(settings, DATA).host.bytes == disk["feature cache"]


def test_several_gpus_and_a_cpu(tmp_path: Path):
    settings = config(tmp_path, sample_prompts=["a"])
    several = estimate(settings, DATA, world_size=2)
    assert part(several, "training", "gradient exchange") == 4 * 896_000 * 32
    assert several.reserve > estimate(settings, DATA).reserve + GIB / 2
    on_cpu = estimate(settings, DATA, cuda=False)
    assert on_cpu.reserve == 0 and on_cpu.host.bytes > on_cpu.peak.bytes
    assert part(on_cpu, "encoding captions (Gemma3)", "weights") == 4 * 3_785_878_016
    assert part(on_cpu, "sampling", "VAE") == 4 * 83_819_683


def test_swapped_blocks_move_to_host_memory_but_for_three_buffers(tmp_path: Path):
    plain, swapped = (estimate(config(tmp_path, swap_blocks=count), DATA, base=BaseSizes()) for count in (0, 36))
    block = 2 * 87_312_576
    moved = part(plain, "training", "weights") - part(swapped, "training", "weights")
    assert moved == 36 * block
    # The norms of heads, 192 bytes each, take 256 in a buffer.
    assert part(swapped, "training", "buffers of swapped blocks") == 3 * (block + 2 * 64)
    assert swapped.host.bytes - plain.host.bytes == 36 * (block + 2 * 64)
    too_many = estimate(config(tmp_path, swap_blocks=37), DATA, base=BaseSizes())
    assert too_many.phases == swapped.phases and any("36 main" in note for note in too_many.notes)


def test_targets_that_fit_nothing_are_said(tmp_path: Path):
    result = estimate(config(tmp_path, lora_target_modules=["attention.qvk"]), None)
    assert result.lora_modules == 0 and any("attention.qvk" in note for note in result.notes)
