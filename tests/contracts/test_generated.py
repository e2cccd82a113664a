"""What derives from the options is up to date."""

import pytest

from trainer_core.contracts import generated
from trainer_core.contracts.config import config_template, options

HOW = "run python -m trainer_core.contracts.generated"


@pytest.mark.parametrize(
    ("file", "text"), [(generated.TEMPLATE, config_template()), (generated.SETTINGS, generated.settings_page())]
)
def test_the_files_are_the_generated_ones(file, text) -> None:
    assert file.read_text(encoding="utf-8") == text, HOW


def test_the_page_has_a_row_for_each_option_with_five_cells() -> None:
    rows = [line for line in generated.settings_page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == [spec.name for spec in options()]
    assert {row.replace("\\|", "").count("|") for row in rows} == {6}
