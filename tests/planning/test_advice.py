"""Published advice: the order of the ladder, and that every rung gives a valid configuration."""

from dataclasses import replace
from typing import Any

import pytest

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.advice import speed_hints
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.ladder import LIGHT_TARGETS, memory_hints, memory_ladder
from trainer_core.planning.presets import load_presets

HEAVY: dict[str, Any] = {
    "base_model_path": "b",
    "train_data_dir": "d",
    "train_batch_size": 4,
    "gradient_checkpointing": False,
    "optimizer_type": "AdamW",
    "resolution": 1024,
    "min_bucket_reso": 768,
    "max_bucket_reso": 1536,
    "lora_rank": 32,
    "lora_alpha": 16,
    "use_flash_attention_2": True,
}


def config(**values: Any) -> TrainConfig:
    return TrainConfig(**{**HEAVY, **values})


def machine(free: int = 100, *, shared: bool = False, **more: Any) -> Machine:
    gpu = Gpu(index=0, name="Card", total_mib=24564, free_mib=free, **{"compute_capability": (8, 9), **more})
    return Machine(gpus=(gpu,), shared_memory=shared)


def test_the_ladder_is_the_published_one_in_order():
    rungs = memory_ladder(config())
    assert [next(iter(rung.values.items())) for rung in rungs] == [
        ("micro_batch_size", 1),
        ("gradient_checkpointing", True),
        ("optimizer_type", "AdamW8bit"),
        ("quantize_base", "int8"),
        ("quantize_base", "nf4"),
        ("swap_blocks", 36),
        ("quantize_gemma", "int8"),
        ("quantize_gemma", "nf4"),
        ("lora_target_modules", list(LIGHT_TARGETS)),
        ("resolution", 768),
        ("resolution", 512),
        ("lora_rank", 16),
    ]
    assert rungs[-1].values["lora_alpha"] == 8.0


def test_every_rung_leaves_a_valid_config_and_is_then_taken():
    now = config()
    rungs = memory_ladder(now)
    for done, rung in enumerate(rungs, 1):
        assert all(getattr(now, change.name) == change.old for change in rung.changes)
        now = replace(now, **rung.values)
        assert memory_ladder(now) == rungs[done:]
    assert (now.min_bucket_reso, now.resolution) == (0, 512)


def test_rungs_that_a_begun_run_cannot_take_say_so():
    told = {rung.changes[0].name: rung.new_run for rung in memory_ladder(config())}
    assert told["lora_rank"] and told["optimizer_type"] and not told["micro_batch_size"]
    assert "another output_name" in memory_hints(config())[-1]


def test_at_the_end_of_the_ladder_what_remains_is_said():
    light = next(preset for preset in load_presets() if preset.name == "16gb")
    last = TrainConfig(
        **{
            **HEAVY,
            "min_bucket_reso": 0,
            **light.values,
            "resolution": 512,
            "sample_prompts": ["x"],
            "quantize_base": "nf4",
            "quantize_gemma": "nf4",
            "swap_blocks": 36,
        }
    )
    assert memory_ladder(last) == () and list(LIGHT_TARGETS) == light.values["lora_target_modules"]
    hints = memory_hints(last)
    assert "already" in hints[0] and any("sample_prompts" in hint for hint in hints) and "384" in hints[-2]


def test_parts_of_the_light_strategy_are_light():
    light, own = (memory_ladder(config(lora_target_modules=[name])) for name in ("layers.3.attention.qkv", "my_qkv"))
    assert light[8].changes[0].name == "resolution" and own[8].changes[0].name == "lora_target_modules"


def test_on_the_cpu_no_rung_needs_a_gpu():
    rungs = memory_ladder(config(device="cpu", mixed_precision="no"))
    assert {"optimizer_type", "swap_blocks"}.isdisjoint(rung.changes[0].name for rung in rungs)


def test_a_well_set_run_gets_no_speed_hint():
    assert speed_hints(config(), machine(), device="cuda") == ()


@pytest.mark.parametrize(
    ("values", "facts", "words"),
    [
        ({"mixed_precision": "no"}, {}, '"bf16" is several times faster'),
        ({"mixed_precision": "fp16"}, {}, "cannot overflow"),
        ({}, {"compute_capability": (7, 5)}, "without tensor cores"),
        ({"use_flash_attention_2": False}, {}, "use_flash_attention_2 = true"),
        ({"attention_backend": "varlen"}, {"compute_capability": (9, 0)}, '"sdpa" is faster'),
        ({"train_batch_size": 1}, {"free": 9000}, "train_batch_size = 2"),
        (
            {"train_batch_size": 1, "gradient_checkpointing": True, "resolution": 512, "min_bucket_reso": 0},
            {"free": 17000},
            "gradient_checkpointing = false",
        ),
        (
            {"train_batch_size": 1, "gradient_checkpointing": True, "checkpoint_skip_every": 4},
            {"free": 5000},
            "checkpoint_skip_every = 3",
        ),
        # At 1024 px switching it off takes more than that by the estimate.
        ({"train_batch_size": 1, "gradient_checkpointing": True}, {"free": 17000}, "checkpoint_skip_every = 2"),
        (
            {"train_batch_size": 1, "gradient_checkpointing": True, "checkpoint_skip_every": 2},
            {"free": 7000},
            "train_batch_size = 2",
        ),
        (
            {"train_batch_size": 1, "gradient_checkpointing": True, "swap_blocks": 36},
            {"free": 7000},
            "swap_blocks = 0",
        ),
        ({}, {"utilisation": 20}, "only 20 %"),
        ({"use_cache": False}, {"utilisation": 20}, "use_cache = true"),
    ],
)
def test_what_is_off_is_named(values: dict[str, Any], facts: dict[str, Any], words: str):
    [hint] = speed_hints(config(**values), machine(**facts), device="cuda")
    assert words in hint


def test_where_swapping_is_needed_nothing_is_proposed_that_contradicts_it():
    swapping = config(train_batch_size=1, gradient_checkpointing=True, swap_blocks=36)
    assert speed_hints(swapping, machine(6000), device="cuda") == ()


def test_the_cpu_is_pointed_out():
    assert "there is no GPU here" in speed_hints(config(), Machine(), device="cpu")[0]
    assert 'device = "cpu" in the config' in speed_hints(config(device="cpu"), machine(), device="cpu")[0]
    assert "doctor" in speed_hints(config(), machine(), device="cpu")[0]


def test_a_crawl_is_seen_on_windows_only_and_only_when_full_and_slow():
    slow, steady = [1.0] * 20 + [12.0] * 5, [1.0] * 25
    hints = speed_hints(config(), machine(shared=True), device="cuda", step_seconds=slow)
    assert "12.0 s instead of 1.0 s" in hints[0] and "micro_batch_size = 1" in hints[1]
    assert speed_hints(config(), machine(shared=True), device="cuda", step_seconds=steady) == ()
    assert speed_hints(config(), machine(), device="cuda", step_seconds=slow) == ()
    assert speed_hints(config(), machine(5000, shared=True), device="cuda", step_seconds=slow) == ()


def test_only_the_cards_trained_on_count():
    other = Gpu(index=1, name="Old", total_mib=8192, free_mib=8000, compute_capability=(7, 5), utilisation=0)
    both = Machine(gpus=(*machine().gpus, other))
    assert speed_hints(config(gpus="0"), both, device="cuda") == ()
    assert len(speed_hints(config(gpus="all"), both, device="cuda")) == 2


def test_no_other_kernel_is_advised_where_pytorchs_own_is_the_fastest():
    hints = speed_hints(config(use_flash_attention_2=False), machine(compute_capability=(9, 0)), device="cuda")
    assert not [hint for hint in hints if "attention" in hint]
