"""Prompts are read as the LoRAs' training read captions."""

from dataclasses import replace
from pathlib import Path

from trainer_core.contracts.config import parse_config, to_toml
from trainer_core.contracts.text_settings import TextSettings
from trainer_core.model.lora_modules import LoraFile
from trainer_core.tools.lora_stack import Adapter
from trainer_core.tools.lora_text import text_settings

DEFAULT = TextSettings.default()
OWN = replace(DEFAULT, system_prompt_tags="Draw. ", max_jina_tokens=99)


def adapter(path: str | Path, stated: TextSettings | None = None) -> Adapter:
    metadata = stated.metadata() if stated else {}
    return Adapter(lora=LoraFile(path=Path(path), modules={}, metadata=metadata, notes=()), strength=1.0)


def test_the_first_that_states_them_counts_and_others_are_named() -> None:
    told: list[str] = []
    loras = [adapter("plain"), adapter("own", OWN), adapter("same", OWN), adapter("other", DEFAULT)]
    assert text_settings(loras, told.append) == OWN
    assert len(told) == 1 and told[0].startswith("other was trained with another") and "than own" in told[0]
    assert text_settings([adapter("plain")], told.append) == text_settings([], told.append) == DEFAULT


def test_an_export_of_an_earlier_version_is_read_as_its_run_says(tmp_path: Path) -> None:
    run = parse_config({"base_model_path": "base", "train_data_dir": "images", "gemma3_prompt": "Draw. "})
    (tmp_path / "config.toml").write_text(to_toml(run), encoding="utf-8")
    for name in ("a.safetensors", "a-peft/adapter_model.safetensors"):
        assert text_settings([adapter(tmp_path / "exports" / name)], print) == TextSettings.of(run)
    assert text_settings([adapter(tmp_path / "copies" / "a.safetensors")], print) == DEFAULT
    (tmp_path / "config.toml").write_text("broken", encoding="utf-8")
    assert text_settings([adapter(tmp_path / "exports" / "a.safetensors")], print) == DEFAULT
