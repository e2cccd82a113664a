"""Presets as published, and the choice among them for cards that people have."""

from pathlib import Path

import pytest

from trainer_core.contracts.config import parse_config
from trainer_core.contracts.errors import ConfigError
from trainer_core.planning.estimate import estimate
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.phases import GIB
from trainer_core.planning.presets import Choice, choose, load_preset, load_presets

PRESETS = load_presets()
BY_NAME = {preset.name: preset for preset in PRESETS}
GOOD = 'resolution = 512\n[strategy]\nname = "x"\ntitle = "t"\ntitle_zh = "z"\ndevice = "cuda"\nneeds_gib = 5.0\n'


def gpu(total: int, *, index: int = 0, used: int = 0, capability: tuple[int, int] = (8, 6)) -> Gpu:
    name = f"Card {total}"
    return Gpu(index=index, name=name, total_mib=total, free_mib=total - used, compute_capability=capability)


def choice(*gpus: Gpu, shared: bool = False) -> Choice:
    return choose(Machine(gpus=gpus, shared_memory=shared), PRESETS)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("16gb", (768, 16, 1, 100, 5e-5, 3)),
        ("24gb", (1024, 32, 1, 50, 1e-4, 5)),
        ("40gb", (1024, 64, 2, 40, 2e-4, 9)),
        ("80gb", (1536, 64, 4, 30, 2e-4, 9)),
    ],
)
def test_the_strategies_hold_the_published_values(name: str, values: tuple[float, ...]):
    config = parse_config({**BY_NAME[name].values, "base_model_path": "b", "train_data_dir": "d"})
    shape = (config.resolution, config.lora_rank, config.train_batch_size, config.num_epochs, config.learning_rate)
    assert (*shape, len(config.lora_target_modules)) == values
    assert config.lora_alpha == config.lora_rank and config.lora_dropout == 0.05
    assert config.mixed_precision == "bf16" and config.gradient_checkpointing
    assert config.optimizer_type == "AdamW8bit" and config.lr_warmup_steps == (50 if name == "16gb" else 100)


@pytest.mark.parametrize(("name", "most"), [("6gb", 4.2), ("8gb", 6.0), ("12gb", 9.0), ("16gb", 9.0), ("24gb", 19.0)])
def test_every_phase_of_a_tier_fits_it_by_the_estimate(name: str, most: float):
    """Also with what the driver and the allocator take, on Windows, and never beyond what the preset asks for."""
    preset = BY_NAME[name]
    config = parse_config({**preset.values, "base_model_path": "b", "train_data_dir": "d", "sample_prompts": ["x"]})
    planned = estimate(config, None)
    assert planned.peak.bytes / GIB <= most
    assert (planned.peak.bytes + planned.reserve) / GIB <= preset.needs_gib <= float(name[:-2]) - 1.5
    assert planned.host.bytes / GIB <= 11
    assert "stimated" in preset.path.read_text(encoding="utf-8")


SMALLEST = {"quantize_base", "quantize_gemma", "swap_blocks", "resolution"}


def test_the_small_tiers_differ_from_the_light_one_in_memory_alone():
    """And in pixels, the smallest one."""
    light = dict(BY_NAME["16gb"].values)
    for name, changed in (("12gb", set()), ("8gb", {"quantize_base", "quantize_gemma"}), ("6gb", SMALLEST)):
        own = dict(BY_NAME[name].values)
        assert {key for key in own.keys() | light.keys() if own.get(key) != light.get(key)} == changed


def test_each_strategy_trains_what_the_smaller_one_trains_and_more():
    targets = [set(BY_NAME[name].values["lora_target_modules"]) for name in ("16gb", "24gb", "40gb", "80gb")]
    assert targets[0] < targets[1] < targets[2] == targets[3]


@pytest.mark.parametrize(
    ("card", "total", "expected"),
    [
        ("2060", 6144, "6gb"),
        ("4060", 8188, "8gb"),
        ("3060", 12288, "12gb"),
        ("T4", 15360, "16gb"),
        ("4060 Ti", 16380, "16gb"),
        ("A10G", 23028, "24gb"),
        ("4090", 24564, "24gb"),
        ("A100", 40960, "40gb"),
        ("H100", 81559, "80gb"),
    ],
)
def test_the_choice_for_common_cards(card: str, total: int, expected: str):
    for shared in (False, True):
        made = choice(gpu(total), shared=shared)
        assert made.fits and made.preset.name == expected and made.values == {}
        assert f"{total / 1024:.1f} GiB" in made.sentences[0] and "reserve" in made.sentences[0]
        assert {other.preset.name for other in made.alternatives} == set(BY_NAME) - {expected}


def test_without_a_gpu_the_demo_is_chosen():
    made = choose(Machine(notes=("No driver.",)), PRESETS)
    assert (made.preset.name, made.gpus) == ("cpu-demo", ()) and "No driver." in made.sentences


def test_a_card_that_is_too_small_is_told_so_with_numbers():
    made = choice(gpu(4096))
    assert not made.fits and made.preset.name == "6gb"
    assert "4.0 of 4.0 GiB free" in made.sentences[0] and "4 GiB" in made.sentences[0]
    assert made.alternatives[0].preset.name == "cpu-demo"
    two = choice(gpu(3072), gpu(4096, index=1))
    assert two.values == {"gpus": "1"} and any('gpus = "1"' in sentence for sentence in two.sentences)


def test_of_two_unequal_cards_the_smaller_stays_out():
    made = choice(gpu(12288), gpu(24564, index=1))
    assert (made.preset.name, [card.index for card in made.gpus]) == ("24gb", [1])
    assert made.values == {"gpus": "1"} and 'Write gpus = "1".' in made.sentences
    assert any("GPU 0 (Card 12288) stays out" in sentence for sentence in made.sentences)


def test_on_windows_one_of_several_cards_is_used():
    made = choose(Machine(gpus=(gpu(24564, used=4000), gpu(24564, index=1)), joins_gpus=False), PRESETS)
    assert (len(made.gpus), made.values) == (1, {"gpus": "1"})
    assert any("GPU 0 (Card 24564) stays out: PyTorch cannot join GPUs" in sentence for sentence in made.sentences)
    assert not any("share the images" in sentence for sentence in made.sentences)


def test_cards_that_all_fit_are_all_used():
    made = choice(gpu(24564), gpu(32607, index=1, used=4000))
    assert (made.preset.name, len(made.gpus), made.values) == ("24gb", 2, {})


def test_memory_that_others_hold_is_counted_and_named():
    made = choice(gpu(24564, used=9000))
    assert made.preset.name == "16gb"
    assert "Other programs hold 8.8 GiB" in made.sentences[1] and "24gb would fit" in made.sentences[1]
    assert not choice(gpu(24564, used=20000)).fits


def test_cards_without_bf16_keep_it_and_are_warned():
    made = choice(gpu(15360, capability=(7, 5)))
    assert made.preset.values["mixed_precision"] == "bf16" and "mixed_precision" not in made.values
    assert "7.5" in made.sentences[-1] and "fp16" in made.sentences[-1]


def test_cards_that_pytorch_no_longer_runs_on_are_not_chosen():
    made = choice(gpu(24576, capability=(6, 1)))
    assert made.preset.name == "cpu-demo" and "6.1" in made.sentences[1] and "cu126" in made.sentences[2]
    assert choice(gpu(0)).preset.name == "cpu-demo"


def test_windows_keeps_a_larger_reserve():
    close = gpu(int((BY_NAME["24gb"].needs_gib + 1.2) * 1024))
    assert choice(close).preset.name == "24gb" and choice(close, shared=True).preset.name == "16gb"


def test_what_another_preset_set_for_its_card_does_not_stay():
    for first in PRESETS:
        for second in PRESETS:
            values = {"base_model_path": "b", "train_data_dir": "d", **first.values, **second.values}
            config = parse_config(values)
            assert (config.swap_blocks, config.quantize_base) == (
                second.values["swap_blocks"], second.values["quantize_base"]
            )  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("resolution = 512", "resolution = 5", "resolution"),
        ("resolution = 512", "resolutoin = 512", '"resolution"'),
        ("resolution = 512", 'train_data_dir = "d"', "user's own"),
        ('title = "t"', 'titel = "t"', "known are"),
        ("needs_gib = 5.0", "needs_gib = true", "needs_gib"),
        ("needs_gib = 5.0", "needs_gib = nan", "10000"),
        ('device = "cuda"', 'device = "tpu"', '"cuda" or "cpu"'),
        ('name = "x"', 'name = "y"', "own name"),
        ("[strategy]", "[[strategy]]", "table"),
    ],
)
def test_a_preset_with_a_mistake_is_refused(old: str, new: str, words: str, tmp_path: Path):
    (tmp_path / "x.toml").write_text(GOOD)
    assert load_preset(tmp_path / "x.toml").values["resolution"] == 512
    (tmp_path / "x.toml").write_text(GOOD.replace(old, new))
    with pytest.raises(ConfigError, match=words):
        load_preset(tmp_path / "x.toml")


def test_a_folder_without_a_preset_for_every_machine_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="at least one preset"):
        load_presets(tmp_path)
