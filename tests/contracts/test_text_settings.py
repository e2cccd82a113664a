"""How captions were read, as a LoRA's metadata tells it."""

import pytest

from trainer_core.contracts.config import SYSTEM_PROMPT_TAGS, parse_config
from trainer_core.contracts.text_settings import TextSettings

NEEDED = {"base_model_path": "base", "train_data_dir": "images"}
RUN = TextSettings.of(parse_config({**NEEDED, "gemma3_prompt": "畫。 ", "max_gemma_tokens": 700}))


def test_a_runs_settings_come_back_from_its_metadata() -> None:
    assert (RUN.system_prompt_tags, RUN.system_prompt_xml, RUN.max_gemma_tokens) == ("畫。 ", "畫。 ", 700)
    assert TextSettings.in_metadata({"ss_seed": "1", **RUN.metadata()}) == RUN
    assert not {"lora_rank", "lora_alpha"} & RUN.metadata().keys()


def test_the_defaults_are_those_of_a_run() -> None:
    assert TextSettings.default() == TextSettings.of(parse_config(NEEDED))
    assert TextSettings.default().system_prompt_tags == SYSTEM_PROMPT_TAGS


@pytest.mark.parametrize(
    "wrong",
    [
        {"newbie_max_gemma_tokens": "1024"},
        {"newbie_max_jina_tokens": "many"},
        {"newbie_max_jina_tokens": "9" * 5000},
        {"newbie_system_prompt_xml": "x" * 1_000_000},
        {"newbie_system_prompt_tags": "\ud800"},
    ],
)
def test_metadata_that_no_run_wrote_is_not_believed(wrong: dict[str, str]) -> None:
    assert TextSettings.in_metadata({**RUN.metadata(), **wrong}) is None
    assert TextSettings.in_metadata({}) is None
