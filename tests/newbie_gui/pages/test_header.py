"""The line on top of every tab."""

from pathlib import Path

import pytest
from settings_parts import card, make_ui

from newbie_gui.pages import header
from trainer_core.contracts.jobdir import Job
from trainer_core.jobs.queue import Entry


def test_it_names_the_chosen_strategy_and_else_the_one_that_suits(tmp_path: Path):
    ui = make_ui(tmp_path, card(23))
    suits = header.strategy_title(ui)
    ui.remember.set("preset", "cpu-demo")
    chosen = header.strategy_title(ui)
    ui.remember.set("preset", "nothing of ours")
    assert chosen != suits and header.strategy_title(ui) == suits


@pytest.mark.parametrize(("done", "total", "shown"), [(3, 400, "3/400"), (5_000_000, 20_000_000, "25 %"), (0, 0, "")])
def test_steps_are_counted_and_bytes_a_percentage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int, total: int, shown: str
):
    ui = make_ui(tmp_path)
    job = Job(id="j1", kind="merge", title="t", spec={})
    running = Entry(job=job, status="running", done=done, total=total)
    monkeypatch.setattr(ui.queue, "entries", lambda: (running,))
    html = header.render(ui)
    assert f"</progress> {shown} <a" in html


def test_it_does_not_read_the_strategies_at_each_tick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    ui = make_ui(tmp_path)
    first = header.render(ui)

    def refused(file: Path) -> None:
        raise AssertionError(f"{file} was read again")

    monkeypatch.setattr("trainer_core.planning.presets.read_toml", refused)
    assert header.render(ui) == first
