"""The form by name: what controls hold, what it means, and how a problem is said."""

from typing import Any

import pytest

from newbie_gui.pages.config.form import (
    control_of,
    decimal_text,
    entries_of,
    lines_of,
    problem_text,
    to_form,
    values_from,
)
from newbie_gui.texts import Texts
from trainer_core.contracts.config import options, parse_config
from trainer_core.contracts.options import checked

SPECS = {spec.name: spec for spec in options()}


def problem(name: str, value: Any, lang: Any = "en") -> str:
    with pytest.raises(ValueError) as caught:
        checked(SPECS[name], value)
    return problem_text(SPECS[name], value, str(caught.value), Texts(lang))


def test_a_configuration_survives_the_form():
    config = parse_config(
        {
            "base_model_path": "/底模",
            "train_data_dir": "d",
            "learning_rate": 2.5e-4,
            "adam_epsilon": 1e-10,
            "sample_prompts": ["1girl", r"a \(b\), c"],
            "system_prompt_xml": "ends in a space ",
        }
    )
    assert parse_config(values_from(to_form(vars(config)))) == config


def test_what_browsers_send_has_its_type_again():
    form = {"resolution": 1024.0, "learning_rate": " 1e-4", "sample_prompts": "a\r\n\r\nb ", "vae_path": None}
    assert values_from({**form, "train_data_dir": ' "D:\\my data" ', "no_option": 1}) == {
        "resolution": 1024,
        "learning_rate": 0.0001,
        "sample_prompts": ["a", "b"],
        "vae_path": "",
        "train_data_dir": "D:\\my data",
    }


@pytest.mark.parametrize(("value", "text"), [(1e-4, "0.0001"), (1.5e-5, "0.000015"), (1e-8, "1e-08"), (32.0, "32")])
def test_numbers_are_shown_readably_and_exactly(value: float, text: str):
    assert decimal_text(value) == text and float(text) == value


def test_entries_of_several_lines_keep_their_lines():
    xml = "<character_1>\n<n>hero</n>\n\n</character_1>"
    assert entries_of(lines_of([xml, "1girl"])) == [xml, "1girl"]
    assert entries_of(lines_of(["a", "b"])) == ["a", "b"]


@pytest.mark.parametrize("value", ["abc", True, [1], {}, None, 1.5, float("nan"), "1e999"])
def test_no_value_raises_on_its_way_in_or_out(value: Any):
    form = dict.fromkeys(SPECS, value)
    assert set(values_from(form)) == set(SPECS)
    shown = to_form(form)
    assert all(shown[name] in (*spec.choices, None) for name, spec in SPECS.items() if control_of(spec) == "choice")


def test_problems_speak_of_the_form_not_of_a_file():
    assert problem("learning_rate", "1e-") == "This is not a number. It must be a number above 0 and at most 1."
    assert problem("resolution", None).startswith("Is empty. It must be a whole number from 64")
    assert problem("resolution", 1000) == "Must be a whole number from 64 to 2048 px in multiples of 16."
    assert "only copy would be lost" in problem("keep_last_n_checkpoints", 1)


def test_problems_are_said_in_chinese():
    assert problem("resolution", 1000, "zh") == "必须是 64 到 2048 像素之间的整数，且为 16 的倍数。"
    assert problem("keep_last_n_checkpoints", 1, "zh").endswith("（不允许 1：保存中断时会丢失唯一的副本）。")
    assert "2 到 100000 之间" in problem("keep_last_n_checkpoints", 1, "zh")
    assert problem("train_data_dir", "", "zh").startswith("必须填写。")
    # The rest of the sentence matters: the catalogue has it.
    assert problem("output_name", "a/b", "zh") == ""
