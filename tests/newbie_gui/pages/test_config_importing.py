"""Other trainers' configs into the form: every key reported, nothing dropped silently."""

from pathlib import Path
from typing import Any

import pytest
from settings_parts import make_ui

from newbie_gui.pages.config.form import default_values
from newbie_gui.pages.config.importing import Imported, import_config, report_table
from newbie_gui.pages.config.store import toml_of
from trainer_core.contracts.errors import ConfigError, UserError
from trainer_core.contracts.workspace import Workspace

FORK = """
[Model]
base_model_path = "/models/newbie"
lora_rank = 16
use_dora = true
mystery = "<b>x</b>"
wandb_key = "secret123"
[Optimization]
learning_rate = 1e-4
"""


def imported(tmp_path: Path, text: str, *without: str) -> Imported:
    file = tmp_path / "lora.toml"
    file.write_text(text, encoding="utf-8")
    return import_config(file, default_values(Workspace(tmp_path)), without)


def test_keys_that_would_change_the_result_block_until_agreed(tmp_path: Path):
    first = imported(tmp_path, FORK)
    assert first.blocking == ("use_dora", "mystery")
    second = imported(tmp_path, FORK, "use_dora", "mystery", "a key of another file")
    assert second.blocking == () and second.values["lora_rank"] == 16
    # Their defaults, and the workspace's folders.
    assert second.values["timestep_sampling"] == "lognorm"
    assert second.values["output_dir"] == str(tmp_path / "output")


def test_the_report_has_every_key_and_neither_secrets_nor_html(tmp_path: Path):
    result = imported(tmp_path, FORK)
    table = report_table(result, make_ui(tmp_path))
    for key in ("base_model_path", "lora_rank", "use_dora", "mystery", "wandb_key", "learning_rate", "lora_alpha"):
        assert f'<th scope="row">{key}</th>' in table
    assert "secret123" not in table and "<b>x" not in table
    assert "无法支持" in report_table(result, make_ui(tmp_path, lang="zh"))


def test_a_file_of_ours_is_taken_as_it_stands(tmp_path: Path):
    values: dict[str, Any] = {**default_values(Workspace(tmp_path)), "lora_rank": 8}
    assert imported(tmp_path, toml_of(values)).values == values
    assert imported(tmp_path, "lora_rank = 4\n").values["timestep_sampling"] == "uniform"


def test_a_slip_in_a_file_of_ours_changes_nothing_else(tmp_path: Path):
    text = "lora_rank = 8\ntrust_remote_code = false\ncache_in_memory = true\n"
    own = {**default_values(Workspace(tmp_path)), "lora_rank": 8}
    assert imported(tmp_path, text + "lora_rnak = 8\n").blocking == ("lora_rnak",)
    agreed = imported(tmp_path, text + "lora_rnak = 8\n", "lora_rnak")
    assert agreed.values == own and agreed.blocking == ()
    assert [report.verdict for report in agreed.reports] == ["taken", "ignored", "ignored", "left out"]


def test_a_value_that_is_none_is_not_called_taken(tmp_path: Path):
    result = imported(tmp_path, 'resolution = "1024,1024"\nlora_rank = 8\n')
    assert list(result.invalid) == ["resolution"] and result.unnamed == len(result.values) - 2
    assert "⚠ not valid here" in report_table(result, make_ui(tmp_path))
    assert imported(tmp_path, "lora_rank = 8\n").invalid == {}


def test_a_file_without_a_setting_leaves_the_form_alone(tmp_path: Path):
    with pytest.raises(UserError, match="names no setting"):
        imported(tmp_path, "# nothing\n")


def test_other_models_and_other_files_are_refused_in_words(tmp_path: Path):
    with pytest.raises(UserError) as other:
        imported(tmp_path, 'qwen_model_path = "x"\n')
    assert other.value.code == "foreign_model"
    with pytest.raises(ConfigError, match="not valid TOML"):
        imported(tmp_path, "hello there")
