"""`import`: the report, the refusals, and a written config that loads."""

from pathlib import Path

import pytest

from trainer_core.cli import main
from trainer_core.contracts.config import load_config

Captured = pytest.CaptureFixture[str]
FORK = """
[Model]
base_model_path = "base"
train_data_dir = "图片"
lora_rank = 16
lora_alpha = 8
use_rslora = true
use_ema = true
wandb_key = "s3cret"
cache_in_memory = true

[Optimization]
optimizer_type = "AdamW8bit"
weight_decay = 1e-4
"""


@pytest.fixture(autouse=True)
def fork_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("fork.toml").write_text(FORK, encoding="utf-8")
    return tmp_path / "fork.toml"


def test_a_file_that_cannot_be_honoured_writes_nothing(capsys: Captured):
    assert main(["import", "fork.toml"]) == 1
    told = capsys.readouterr()
    assert "use_ema = True: cannot be honoured yet" in told.out and "s3cret" not in told.out + told.err
    assert "--without use_ema" in told.err and [p.name for p in Path().iterdir()] == ["fork.toml"]


def test_an_agreed_translation_is_written_and_loads(capsys: Captured):
    assert main(["import", "fork.toml", "--without", "use_ema", "--output", "mine.toml"]) == 0
    config = load_config(Path("mine.toml"))
    assert (config.train_data_dir, config.lora_alpha, config.weight_decay) == ("图片", 32.0, 1e-4)
    assert (config.timestep_sampling, config.caption_dropout_rate) == ("lognorm", 0.0)
    assert Path("fork.toml").read_text(encoding="utf-8") == FORK
    told = capsys.readouterr().out
    assert all(word in told for word in ("lora_rank = 16: taken\n", "taken as lora_alpha", "ignored, because"))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["import", "none.toml"], 2, "cannot be read"),
        (["import", "fork.toml", "--without", "nokey"], 1, "no such key"),
        (["import", "fork.toml", "--without", "use_ema", "--output", "fork.toml"], 1, "exists already"),
        (["import", "fork.toml", "--without", "use_ema", "--output", "a/b/c.toml"], 1, "cannot be written"),
    ],
)
def test_mistakes_write_nothing(arguments: list[str], code: int, words: str, capsys: Captured):
    assert main(arguments) == code and words in capsys.readouterr().err
    assert Path("fork.toml").read_text(encoding="utf-8") == FORK and len(list(Path().iterdir())) == 1


def test_values_that_we_refuse_are_named_all(fork_file: Path, capsys: Captured):
    fork_file.write_text('[Model]\nbase_model_path = "b"\nresolution = 1001\nlora_rank = 0\n')
    assert main(["import", "fork.toml"]) == 2
    told = capsys.readouterr().err
    assert all(name in told for name in ("resolution", "lora_rank", "train_data_dir"))
