"""The line on top of every tab."""

from pathlib import Path

import pytest
from settings_parts import card, make_ui

from newbie_gui.pages import header


def test_it_names_the_chosen_strategy_and_else_the_one_that_suits(tmp_path: Path):
    ui = make_ui(tmp_path, card(23))
    suits = header.strategy_title(ui)
    ui.remember.set("preset", "cpu-demo")
    chosen = header.strategy_title(ui)
    ui.remember.set("preset", "nothing of ours")
    assert chosen != suits and header.strategy_title(ui) == suits


def test_it_does_not_read_the_strategies_at_each_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ui = make_ui(tmp_path)
    first = header.render(ui)

    def refused(file: Path) -> None:
        raise AssertionError(f"{file} was read again")

    monkeypatch.setattr("trainer_core.planning.presets.read_toml", refused)
    assert header.render(ui) == first
