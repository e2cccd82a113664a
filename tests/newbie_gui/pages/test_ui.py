"""What all handlers share."""

import gradio as gr
import pandas
import pytest

from newbie_gui.pages.ui import has_news, said


@pytest.mark.parametrize(
    "answer", [gr.skip(), (gr.skip(), gr.skip()), [], {}, {"view": gr.skip()}, {"a": gr.skip(), "b": gr.skip()}]
)
def test_an_answer_that_changes_nothing_is_no_news(answer: object):
    assert not has_news(answer)


@pytest.mark.parametrize(
    "answer", ["", None, (gr.skip(), "x"), {"view": None}, gr.update(value=""), {"plot": pandas.DataFrame({"a": [1]})}]
)
def test_an_answer_that_changes_anything_is(answer: object):
    assert has_news(answer)


@pytest.mark.parametrize("data", [None, ["do"], {}, {"do": ["stop"]}, {"do": 3}])
def test_only_a_text_that_came_with_an_event_counts(data: object):
    assert said(gr.EventData(None, data), "do") == "" and said(gr.EventData(None, {"do": "stop"}), "do") == "stop"
