"""Which language a person gets."""

import pytest
from starlette.requests import Request

from newbie_gui.web import chosen_language


def request(accept: str = "", cookie: str = "") -> Request:
    headers = [(b"accept-language", accept.encode()), (b"cookie", cookie.encode())]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": headers})


@pytest.mark.parametrize(
    ("accept", "lang"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh", "zh"),
        ("zh-TW", "zh"),
        ("ja,zh;q=0.5", "zh"),
        ("en-GB,zh;q=0.5", "en"),
        ("de", "en"),
        ("", "en"),
    ],
)
def test_without_a_choice_the_browser_decides(accept: str, lang: str):
    assert chosen_language(request(accept), None) == lang


def test_a_choice_holds_against_the_start_option_and_that_against_the_browser():
    assert chosen_language(request("en", "newbie_lang=zh"), "en") == "zh"
    assert chosen_language(request("en"), "zh") == "zh"
    assert chosen_language(request("zh", "newbie_lang=xx"), None) == "zh"
