"""What the engine really says, in Chinese: no English word is left but names, values and terms of the trade."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from newbie_gui.translate import translate
from trainer_core.contracts.config import TrainConfig, load_config, options, parse_config
from trainer_core.contracts.errors import ConfigError, UserError
from trainer_core.contracts.foreign import FOREIGN_KEYS
from trainer_core.contracts.foreign import translate as translate_foreign
from trainer_core.contracts.rundir import RunDir
from trainer_core.dataset.caption_edits import checked_edit
from trainer_core.dataset.library import Library
from trainer_core.dataset.scan import scan_dataset
from trainer_core.planning.advice import speed_hints
from trainer_core.planning.base_check import check_base
from trainer_core.planning.data_advice import dataset_advice, too_long
from trainer_core.planning.estimate import estimate
from trainer_core.planning.flat_loss import flat_loss_hints
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.ladder import ladder_hints, memory_hints, memory_ladder
from trainer_core.planning.lora_facts import lora_facts
from trainer_core.planning.presets import choose, load_presets
from trainer_core.training.out_of_memory import recovery_message, with_rung
from trainer_core.training.resume import kept_notes

# Names, formats and terms that are written in Latin letters in Chinese too.
TERMS = frozenset(
    """
    adam adamw alpha anima autoencoderkl bf16 bmp avif clip comfyui config core cpu cuda demo diffusers doctor dora
    dpo face false flash fp16 gb gemma gib gif gpu gpus hugging image jina jpeg json kib lokr lora mb mib models nan
    newbie nextdit nul nvidia off peft pixels png px python pytorch rank rslora safetensors smi sqrt tensor token toml
    transformer true unicode utf vae webp windows xml no none
    """.split()
)
NAMES = frozenset(spec.name for spec in options()) | frozenset(FOREIGN_KEYS)
# Quoted values; paths, file names and keys; commands.
VALUES = re.compile(
    r"""(?<![A-Za-z])'[^']*'|"[^"]*"|`[^`]*`|[^\s（）：；，。、]*[_/\\.=<>@\d\[\]-][^\s（）：；，。、]*"""
)


def english_in(text: str) -> list[str]:
    words = re.findall("[A-Za-z]{2,}", VALUES.sub(" ", text))
    return [word for word in words if word not in NAMES and word.lower() not in TERMS]


def assert_chinese(texts: Iterable[str]) -> None:
    found = list(texts)
    left = {text: english_in(translate(text, "zh")) for text in found}
    assert found and {text: words for text, words in left.items() if words} == {}


def told(action: Callable[[], object]) -> Iterator[str]:
    """What the error says that an action raises."""
    with pytest.raises(UserError) as caught:
        action()
    yield caught.value.message
    yield from caught.value.hints


def config(**values: object) -> TrainConfig:
    return parse_config({"base_model_path": "my/base", "train_data_dir": "data", **values})


def wrong_values() -> list[object]:
    wrong: list[object] = [
        "many words",
        -1,
        10**12,
        0.12345,
        True,
        [],
        ["", 3],
        {"a": 1},
        float("nan"),
        "a/b",
        "~",
        "a\tb",
    ]
    return [*wrong, "", "CON", ".x", "x" * 200, "\ud800"]


def test_every_wrong_value_of_every_option():
    found: dict[str, str] = {}
    for spec in options():
        for value in wrong_values():
            try:
                config(**{spec.name: value})
            except ConfigError as error:
                # Other numbers do not make it another text.
                found.setdefault(re.sub(r"[\d.]+", "0", error.problems[0].message), str(error))
    assert len(found) > 40
    assert_chinese(found.values())


def test_options_that_contradict_each_other_and_unknown_ones(tmp_path: Path):
    bad = {
        "resolution": 512, "min_bucket_reso": 1024, "max_bucket_reso": 256, "bucket_reso_step": 16, "device": "cpu",
        "attention_backend": "flash", "mixed_precision": "fp16", "validation_split": 0.1, "validation_data_dir": "v",
        "lora_rnk": 3, "z_z": 1, "wandb_key": "x", "Model": {"resolution": 3}, "network": {"a": 1},
    }  # fmt: skip
    assert_chinese(told(lambda: parse_config({**bad, "train_data_dir": "d"})))
    for text in ("a = ", "a = 1\na = 2", "resolution = [1,", 'p = "C:\\data"', "\xff"):
        (tmp_path / "x.toml").write_bytes(text.encode("latin-1"))
        assert_chinese(told(lambda: load_config(tmp_path / "x.toml")))
    assert_chinese(told(lambda: load_config(tmp_path / "none.toml")))


@pytest.mark.parametrize("on", [True, False, "pissa_niter_4", {"layers.0": 8}])
def test_what_becomes_of_another_trainers_keys(on: object):
    values = {**dict.fromkeys(FOREIGN_KEYS, on), "lora_rank": 8, "q_wen": 1}
    assert_chinese(str(report) for report in translate_foreign(values, known=[spec.name for spec in options()]).reports)
    assert_chinese(told(lambda: translate_foreign({"qwen_model_path": "x"}, known=[])))


def test_data_sets_that_cannot_be_used(tmp_path: Path):
    for folder in ("10_猫 a", "99999_x", ".hidden"):
        (tmp_path / folder).mkdir()
    inside = tmp_path / "10_猫 a"
    Image.new("RGB", (8, 8)).save(inside / "a.png")
    Image.new("RGB", (8, 8)).save(inside / "a.jpg")
    (inside / "b.png").write_bytes((inside / "a.png").read_bytes()[:40])
    (inside / "c.webp").write_bytes(b"no picture")
    (inside / "d.psd").write_bytes(b"x")
    Image.new("RGB", (8, 8)).save(inside / "e.png")
    (inside / "e.txt").write_bytes(b"\xff\xfe1")
    (inside / "f.txt").write_text("alone")
    (inside / "a.txt").write_text("")
    assert_chinese(problem.message for problem in scan_dataset(tmp_path, strict=False).problems)
    assert_chinese(told(lambda: scan_dataset(tmp_path, strict=True)))
    assert_chinese(told(lambda: scan_dataset(tmp_path / "none", strict=False)))
    assert_chinese(told(lambda: scan_dataset(tmp_path / ".hidden", strict=False)))


def card(gib: float, *, index: int = 0, free: float | None = None, capability: tuple[int, int] = (8, 9)) -> Gpu:
    free_mib = int((gib if free is None else free) * 1024)
    return Gpu(index=index, name="NVIDIA", total_mib=int(gib * 1024), free_mib=free_mib, compute_capability=capability)


MACHINES = {
    "none": Machine(notes=("The package nvidia-ml-py is not installed, so NVIDIA GPUs cannot be listed.",)),
    "6 GB": Machine(gpus=(card(6),)),
    "12 GB": Machine(gpus=(card(12),), shared_memory=True),
    "24 GB": Machine(gpus=(card(24),)),
    "24 GB in use": Machine(gpus=(card(24, free=13),)),
    "two": Machine(gpus=(card(24), card(24, index=1), card(8, index=2))),
    "small ones": Machine(gpus=(card(6), card(4, index=1))),
    "old": Machine(gpus=(card(24, capability=(7, 5)), card(24, index=1, capability=(6, 1)))),
    "too old": Machine(gpus=(card(24, capability=(6, 1)),)),
    "silent": Machine(gpus=(card(0),)),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_which_preset_suits_a_machine(machine: str):
    choice = choose(MACHINES[machine], load_presets())
    assert_chinese([*choice.sentences, *(other.why for other in choice.alternatives)])


HEAVY = config(
    train_batch_size=4, gradient_checkpointing=False, optimizer_type="AdamW", lora_rank=64, min_bucket_reso=1024,
    lora_target_modules=["feed_forward.w1", "no.where"], sample_prompts=["x"], use_cache=False, mixed_precision="fp16",
)  # fmt: skip
SPENT = config(
    resolution=512,
    lora_rank=16,
    quantize_base="nf4",
    quantize_gemma="nf4",
    lora_target_modules=["attention.qkv"],
    sample_prompts=["x"],
    max_train_steps=100,
)


def test_the_memory_ladder_and_the_estimate():
    assert_chinese([*ladder_hints(HEAVY), *memory_hints(SPENT)])
    for cuda in (True, False):
        result = estimate(HEAVY, None, cuda=cuda, world_size=2)
        parts = [part.name for phase in result.phases for part in phase.components]
        more = [part.name for part in (*result.host.components, *result.disk.components)]
        assert_chinese([*result.notes, *(phase.name for phase in result.phases), *parts, *more])


def test_what_a_run_says_that_recovers_from_a_full_card():
    settings = config(train_batch_size=4, recover_from_oom=True)
    for rung in memory_ladder(settings):
        assert_chinese([recovery_message(rung, "training", 0), recovery_message(rung, "drawing samples", 12)])
        assert_chinese(kept_notes(settings, with_rung(settings, rung)))


def test_advice():
    assert_chinese(dataset_advice(images, repeats).sentence for images in (10, 500, 5000) for repeats in (1, 2.5))
    assert_chinese([too_long(20, 200, 100)])
    assert_chinese(flat_loss_hints(HEAVY, images=20, captionless=3, steps=500))
    assert_chinese(flat_loss_hints(SPENT, images=0, steps=5))
    assert_chinese(flat_loss_hints(config(learning_rate=1e-2, num_epochs=500), images=20, steps=500))
    idle = Gpu(index=0, name="NVIDIA", total_mib=24000, free_mib=100, utilisation=20, compute_capability=(7, 5))
    crawling, slow = [1.0] * 20 + [9.0] * 5, []
    for machine in (Machine(gpus=(idle,), shared_memory=True), Machine(gpus=(card(80),)), Machine()):
        for settings in (HEAVY, config(mixed_precision="no"), config(gradient_checkpointing=True)):
            for device in ("cpu", "cuda"):
                slow += speed_hints(settings, machine, device=device, step_seconds=crawling)
    assert_chinese(slow)


def test_bases_and_loras_that_are_none(tmp_path: Path):
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "config.json").write_text("{}")
    (tmp_path / "x.safetensors").write_bytes(b"<html>")
    (tmp_path / "x.pt").write_bytes(b"")
    for path in (tmp_path, tmp_path / "none", tmp_path / "x.safetensors"):
        report = check_base({"base_model_path": str(path)})
        errors = [report.error, *(part.error for part in report.parts)]
        assert_chinese(text for error in errors if error for text in (error.message, *error.hints))
    for name in ("none.safetensors", "x.safetensors", "x.pt", "vae"):
        assert_chinese(told(lambda name=name: lora_facts(tmp_path / name)))


def test_runs_data_sets_and_edits(tmp_path: Path):
    library = Library(tmp_path / "datasets", tmp_path / "trash")
    library.create("猫")
    (tmp_path / "file").write_text("")
    for action in (
        lambda: RunDir(tmp_path / "none").request("stop"),
        lambda: RunDir(tmp_path / "file").create(SPENT),
        lambda: library.create("猫"),
        lambda: library.create("a / b"),
        lambda: library.create(" "),
        lambda: library.point_at(""),
        lambda: library.point_at("a/b"),
        lambda: library.point_at("/"),
        lambda: library.get("dogs"),
        lambda: checked_edit("regex", "(a"),
        lambda: checked_edit("regex", "a{100}" * 20),
        lambda: checked_edit("remove_tag", "a, b"),
    ):
        assert_chinese(told(action))
