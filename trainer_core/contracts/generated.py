"""The two files that derive from the options: config_template.toml and docs/settings.md.

Run `python -m trainer_core.contracts.generated` after changing an option; tests hold both files equal.
"""

from trainer_core.contracts.config import config_template, options
from trainer_core.contracts.options import OptionSpec
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.toml_text import toml_value

TEMPLATE = REPOSITORY / "config_template.toml"
SETTINGS = REPOSITORY / "docs" / "settings.md"

_INTRODUCTION = """\
# Settings

Generated from the option list (`trainer_core/contracts/train_config.py`, `step_options.py`); do not edit. A config is a
TOML file with any of these names, flat or under `[Model]` and `[Optimization]`. Unknown names are refused with the
nearest known one.
Relative paths mean the current folder.

**Change later** says what a changed value does to a begun run: *continues*, *warns* (it continues and says so),
or *refused* (the run keeps the value; a new `output_name` takes another).
"""
_RERUN = {"continue": "continues", "warn": "warns", "refuse": "refused"}


def settings_page() -> str:
    """docs/settings.md: a table for each group of options."""
    lines = [_INTRODUCTION]
    group = ""
    for spec in options():
        if spec.group != group:
            group = spec.group
            lines += [
                "",
                f"## {group}",
                "",
                "| name | default | allowed | meaning | change later |",
                "|---|---|---|---|---|",
            ]
        lines.append(_row(spec))
    return "\n".join(lines) + "\n"


def _row(spec: OptionSpec) -> str:
    default = "(must be set)" if spec.required else f"`{toml_value(spec.default)}`"
    cells = [f"`{spec.name}`", default, spec.allowed(), spec.help + (f" {spec.note}." if spec.note else "")]
    escaped = [cell.replace("|", "\\|").replace("\n", " ") for cell in cells]
    return f"| {' | '.join(escaped)} | {_RERUN[spec.rerun]} |"


def main() -> None:
    """Write both files."""
    TEMPLATE.write_text(config_template(), encoding="utf-8", newline="\n")
    SETTINGS.write_text(settings_page(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
