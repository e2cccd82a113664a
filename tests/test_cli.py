"""The command line: quick help, plain errors, exit codes."""

import subprocess
import sys
from pathlib import Path

import pytest

from trainer_core.cli import main
from trainer_core.planning.demo import TINY_BASE

ROOT = Path(__file__).parents[1]
Captured = pytest.CaptureFixture[str]


def test_help_names_every_command_and_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'numpy', 'PIL'}"
    code = f"import sys, trainer_core.cli as c\ntry: c.main(['--help'])\nfinally: assert not {heavy} & {{*sys.modules}}"
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(command in told for command in ("train", "sample", "merge", "cache", "demo", "tiny"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["train", "nowhere.toml"], "nowhere.toml"),
        (["merge", "--base", "nowhere", "--lora", "x", "--output", "out"], "nowhere"),
        (["sample", "--prompt", "x", "--size", "100x64"], "multiples of 16"),
        (["sample", "--prompt", "x", "--size", "64²x64"], "multiples of 16"),
        (["sample", "--prompt", "x", "--seed", "99999999999999999999"], "--seed 99999999999999999999; allowed: 0 to"),
        (["sample", "--prompt", "x", "--lora", "a=strong"], "not a number"),
        (["cache", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_told_in_words(
    arguments: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) in (1, 2)
    told = capsys.readouterr().err
    assert told.startswith("error: ") and words in told and "Traceback" not in told
    assert list(tmp_path.iterdir()) == []


def test_check_lists_buckets_and_what_is_cropped(tmp_path: Path, capsys: Captured) -> None:
    from PIL import Image

    Image.new("RGB", (512, 256)).save(tmp_path / "wide.png")
    config = tmp_path / "c.toml"
    text = f"base_model_path = '{TINY_BASE}'\ntrain_data_dir = '{tmp_path}'\nresolution = 256\n"
    config.write_text(text, encoding="utf-8")
    assert main(["train", "--check", str(config)]) == 0
    told = capsys.readouterr().out
    assert "wide.png" in told and "352x176" in told.replace(" ", "") and "1 image, 1 an epoch" in told


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("validation_split = 0.05", "holds out 50% of these 2 images"),
        ("validation_every_n_steps = 3", "validation_every_n_steps = 3 measures nothing"),
        ("lora_rank = 8\nlora_alpha = 32", "lora_alpha / lora_rank = 4"),
        ("resolution = 512\nbucket_upscale = true", "2 of 2 images are enlarged more than 4 times: blue.png, red.png"),
    ],
)
def test_check_notes_settings_that_do_more_than_they_seem(
    settings: str, words: str, tmp_path: Path, capsys: Captured
) -> None:
    from PIL import Image

    for colour in ("red", "blue"):
        Image.new("RGB", (64, 64), colour).save(tmp_path / f"{colour}.png")
    config = tmp_path / "c.toml"
    text = f"base_model_path = '{TINY_BASE}'\ntrain_data_dir = '{tmp_path}'\n{settings}\n"
    text += "" if "resolution" in settings else "resolution = 64\n"
    config.write_text(text, encoding="utf-8")
    assert main(["train", "--check", str(config)]) == 0
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("base_model_path = '/nope'", "/nope is not a folder"),
        ("lora_target_modules = ['nope']", "nope"),
        ("validation_data_dir = '/nonexistent'", "validation_data_dir: /nonexistent is not a folder"),
        ("output_dir = '/dev/null/runs'", "cannot be used: Not a directory (/dev/null)"),
        ("strict_data = true", "strict_data is on and the data set has problems"),
    ],
)
def test_check_finds_what_would_stop_the_training(setting: str, words: str, tmp_path: Path, capsys: Captured) -> None:
    from PIL import Image

    (tmp_path / "data").mkdir()
    Image.new("RGB", (64, 64)).save(tmp_path / "data" / "sound.png")
    Image.effect_noise((256, 256), 64).convert("RGB").save(tmp_path / "data" / "cut.jpg")
    (tmp_path / "data" / "cut.jpg").write_bytes((tmp_path / "data" / "cut.jpg").read_bytes()[:9000])
    lines = {"base_model_path": f"'{TINY_BASE}'", "train_data_dir": f"'{tmp_path / 'data'}'", "resolution": "128"}
    name, _, value = setting.partition(" = ")
    config = tmp_path / "c.toml"
    config.write_text("\n".join(f"{n} = {v}" for n, v in {**lines, name: value}.items()), encoding="utf-8")
    assert main(["train", "--check", str(config)]) == 1
    told = capsys.readouterr()
    assert told.err.count("error: ") == 1 and words in told.err and "Traceback" not in told.err
    assert "sound.png" in told.out and "warning: left out: " in told.out and "1 image, " in told.out
    assert {path.name for path in tmp_path.iterdir()} == {"c.toml", "data"}


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "Main memory is full"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes"), "Main memory"),
        (ImportError("No module named 'peft'"), "launch.sh"),
    ],
)
def test_what_the_machine_lacks_is_told_in_words(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def fails() -> None:
        raise error

    monkeypatch.setattr("trainer_core.cli.presets.load_presets", fails)
    assert main(["presets"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("error: ") and words in told


def test_an_error_of_our_own_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails() -> None:
        raise RuntimeError("a slip")

    monkeypatch.setattr("trainer_core.cli.presets.load_presets", fails)
    with pytest.raises(RuntimeError, match="a slip"):
        main(["presets"])
