"""What a session keeps of the page, event after event."""

import asyncio
from pathlib import Path

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from newbie_gui.pages.checked import CheckedBlocks


@pytest.mark.parametrize("answer", [gr.skip(), gr.update(value="new"), gr.update(label="other"), "plain"])
def test_a_session_does_not_grow_with_the_events_that_read_what_they_answer(tmp_path: Path, answer: object):
    with CheckedBlocks(tmp_path, "no") as page:
        seen = gr.Textbox("")
        gr.Button().click(lambda value: answer, seen, seen)
    session = SessionState(page)
    before = set(session.blocks_config.blocks)
    for _ in range(3):
        asyncio.run(page.process_api(0, ["old"], state=session))
    assert set(session.blocks_config.blocks) == set(session.config_values) == before


def test_an_update_still_reaches_its_own_session_only(tmp_path: Path):
    with CheckedBlocks(tmp_path, "no") as page:
        box = gr.Textbox("", label="first")
        gr.Button().click(lambda: gr.update(label="second"), None, box)
    session, other = SessionState(page), SessionState(page)
    asyncio.run(page.process_api(0, [], state=session))
    assert (session[box._id].label, other[box._id].label, session[box._id]._id) == ("second", "first", box._id)
