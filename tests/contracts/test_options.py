import pytest

from trainer_core.contracts.config import TrainConfig, options
from trainer_core.contracts.options import OptionSpec, checked

SPECS = {spec.name: spec for spec in options()}


def refusal(name: str, value: object) -> str:
    """Text of the refusal; "" if the value is accepted."""
    try:
        checked(SPECS[name], value)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("resolution", [64, 1024, 2048], [63, 65, 2049, 2064, 0, -64]),
        ("min_bucket_reso", [0, 32, 512], [16, 31, 100]),
        ("learning_rate", [1e-9, 1, 1.0], [0, 0.0, -1e-4, 1.01]),
        ("lora_dropout", [0, 0.999], [1, 1.0, -0.1]),
        ("seed", [0, 2**32 - 1], [-1, 2**32]),
        ("keep_last_n_checkpoints", [2], [0, 1]),
        ("max_train_steps", [0, 1], [-1]),
        ("lr_scheduler", ["cosine"], ["Cosine", "", "step"]),
        ("caption_dropout_rate", [0, 1], [1.1]),
    ],
)
def test_ranges(name: str, good: list[object], bad: list[object]):
    assert [refusal(name, value) for value in good] == [""] * len(good)
    assert all(refusal(name, value).startswith("must be ") for value in bad)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("resolution", True, "not true/false"),
        ("resolution", "1024", "not text; write it without quotes"),
        ("resolution", 1024.0, "not a number with a decimal point"),
        ("learning_rate", "1e-4", "not text; write it without quotes"),
        ("use_cache", "yes", "not text; write it as true or false, without quotes"),
        ("learning_rate", False, "not true/false"),
        ("learning_rate", float("nan"), "not infinite or NaN"),
        ("weight_decay", 10**400, "not infinite or NaN"),
        ("enable_bucket", 1, "true or false, not a whole number"),
        ("output_dir", 5, "not a whole number; write it between quotes"),
        ("sample_prompts", "1girl", 'not text; write it as ["..."]'),
        ("sample_prompts", ["a", 5], "holds a whole number: 5"),
        ("sample_prompts", ["a", " "], "empty text"),
        ("lora_target_modules", [], "at least one entry"),
        ("output_dir", "", "must be set"),
        ("sample_negative_prompt", "\udcff", "not valid Unicode"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: object, words: str):
    assert words in refusal(name, value)


def test_values_take_the_type_of_the_option():
    alpha = checked(SPECS["lora_alpha"], 16)
    assert (alpha, type(alpha)) == (16.0, float)
    assert checked(SPECS["sample_prompts"], ("a",)) == ["a"]


@pytest.mark.parametrize(("written", "shown"), [("D:\temp\new", "D:/temp/new"), ("C:\fonts\x08ase", "C:/fonts/base")])
def test_a_path_damaged_by_escapes_is_explained(written: str, shown: str):
    assert f'Write "{shown}"' in refusal("train_data_dir", written)


def test_a_home_path_is_refused():
    assert "in full" in refusal("base_model_path", "~/models/newbie")


@pytest.mark.parametrize("name", ["my_lora", "キャラ v2.1", "a-b (c)"])
def test_plain_file_names_are_accepted(name: str):
    assert refusal("output_name", name) == ""


@pytest.mark.parametrize(
    "name", ["", " ", "..", ".cache", "a/b", r"a\b", "a:b", "a\nb", "end.", " a", "NUL", "com1.txt", "é" * 61]
)
def test_unsafe_file_names_are_refused(name: str):
    assert refusal("output_name", name)


def test_one_checkpoint_is_refused_with_the_reason():
    assert "the only copy would be lost" in refusal("keep_last_n_checkpoints", 1)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("bucket_reso_step", "a whole number from 16 to 256 px in multiples of 16, or 0 (automatic: 64"),
        ("adam_beta1", "a number at least 0 and below 1"),
        ("optimizer_type", 'one of "AdamW", "AdamW8bit"'),
    ],
)
def test_the_allowed_values_in_words(name: str, words: str):
    assert SPECS[name].allowed().startswith(words)


@pytest.mark.parametrize("spec", options(), ids=lambda spec: spec.name)
def test_every_option_has_help_and_a_default_it_accepts(spec: OptionSpec):
    assert spec.help.endswith(".") and spec.group
    if not spec.required:
        accepted = checked(spec, spec.default)
        assert accepted == spec.default and type(accepted) is type(spec.default)


def test_the_options_are_made_once_and_nobody_can_change_their_lists():
    spec = SPECS["lora_target_modules"]
    spec.default.append("everything")
    config = TrainConfig(base_model_path="m", train_data_dir="d")
    config.lora_target_modules.append("all")
    assert options() is options()
    assert not {"everything", "all"} & {*spec.default, *config.lora_target_modules[:-1]}
