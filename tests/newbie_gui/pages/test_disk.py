"""The Disk tab: nothing is cleaned up that was not chosen and asked about."""

from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from settings_parts import make_ui

from newbie_gui.pages import disk


@pytest.fixture
def wired(tmp_path: Path) -> dict[tuple[str, str], Any]:
    """Handlers by (id of the component, event)."""
    with gr.Blocks() as blocks:
        disk.build(make_ui(tmp_path))
    targets = [(target, fn.fn) for fn in blocks.fns.values() for target in fn.targets]
    return {(str(blocks.blocks[number].elem_id), event): handler for (number, event), handler in targets}


def test_nothing_is_chosen_beforehand_and_nothing_is_asked_then(wired: dict[tuple[str, str], Any]):
    with pytest.warns(UserWarning, match="Choose what to clean up"):
        _, yes, *_ = wired["disk-clean", "click"](None)
    assert not yes["visible"]


def test_the_question_says_what_goes_and_another_choice_takes_it_back(wired: dict[tuple[str, str], Any]):
    ask, yes, _, question = wired["disk-clean", "click"]("trash")
    assert yes["visible"] and not ask["visible"] and "for good" in question["value"]
    ask, yes, _, question = wired["disk-part", "input"]()
    assert ask["visible"] and not yes["visible"] and not question["visible"]
