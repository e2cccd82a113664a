"""What a session keeps of the page, event after event."""

from functools import partial
from pathlib import Path

import gradio as gr
import pytest
from anyio.from_thread import start_blocking_portal
from gradio.state_holder import SessionState

from newbie_gui.pages.checked import CheckedBlocks


def send(page: CheckedBlocks, values: list[str], session: SessionState) -> None:
    """The page's only event. In a thread of its own: Playwright's loop may run in this one."""
    with start_blocking_portal() as portal:
        portal.call(partial(page.process_api, 0, values, state=session))


@pytest.mark.parametrize("answer", [gr.skip(), gr.update(value="new"), gr.update(label="other"), "plain"])
def test_a_session_does_not_grow_with_the_events_that_read_what_they_answer(tmp_path: Path, answer: object):
    with CheckedBlocks(tmp_path, "no") as page:
        seen = gr.Textbox("")
        gr.Button().click(lambda value: answer, seen, seen)
    session = SessionState(page)
    before = set(session.blocks_config.blocks)
    for _ in range(3):
        send(page, ["old"], session)
    assert set(session.blocks_config.blocks) == set(session.config_values) == before


def test_an_update_still_reaches_its_own_session_only(tmp_path: Path):
    with CheckedBlocks(tmp_path, "no") as page:
        box = gr.Textbox("", label="first")
        gr.Button().click(lambda: gr.update(label="second"), None, box)
    session, other = SessionState(page), SessionState(page)
    send(page, [], session)
    assert (session[box._id].label, other[box._id].label, session[box._id]._id) == ("second", "first", box._id)
