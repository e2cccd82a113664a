"""Which language a person gets, and that a page is built once and only when it is wanted."""

import asyncio
import locale
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import fastapi
import pytest
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from newbie_gui.languages import LazyPages, chosen_language, language_routes, likely_language
from newbie_gui.remember import Remembered


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
        ("en;q=0.3, zh-CN;q=0.9", "zh"),
        ("zh; q=0, en;q=0.1", "en"),
        ("zh;q=0", "en"),
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


@pytest.fixture
def remember(tmp_path: Path) -> Remembered:
    return Remembered(tmp_path / "choices.json")


@pytest.mark.parametrize(
    ("machine", "lang"),
    [("zh_CN", "zh"), ("Chinese (Simplified)_China", "zh"), ("de_DE", "en"), (None, "en")],
)
def test_the_page_built_first_is_the_one_opened_last_else_in_the_machines_language(
    machine: str | None, lang: str, remember: Remembered, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locale, "getlocale", lambda: (machine, None))
    assert likely_language(None, remember) == lang
    app = fastapi.FastAPI(routes=language_routes(None, remember))
    client = TestClient(app, follow_redirects=False)
    for other in ("zh", "en"):
        assert client.get(f"/lang/{other}").headers["location"] == f"/{other}/"
        assert likely_language(None, remember) == other
        assert client.get("/").headers["location"] == f"/{other}/"
    assert likely_language("zh", remember) == "zh"
    assert client.get("/lang/xx").status_code == 404


class Built:
    """Pages that answer with their language, and what became of them."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def page(self, lang: str) -> fastapi.FastAPI:
        @asynccontextmanager
        async def lifespan(app: Any) -> AsyncIterator[None]:
            self.events.append(f"{lang} starts")
            await asyncio.sleep(0.01)
            yield
            self.events.append(f"{lang} ends")

        self.events.append(f"{lang} built")
        page = fastapi.FastAPI(lifespan=lifespan)
        page.add_route(f"/{lang}/", lambda request: PlainTextResponse(lang))
        return page


def test_the_second_language_is_built_once_when_it_is_asked_for():
    built = Built()
    pages = LazyPages(built.page, "en")
    rest = fastapi.FastAPI(lifespan=pages.lifespan)
    rest.add_route("/english", lambda request: PlainTextResponse("rest"))
    with TestClient(pages.in_front_of(rest)) as client:
        assert [client.get("/en/").text, client.get("/english").text] == ["en", "rest"]
        assert built.events == ["en built", "en starts"]
        assert [client.get("/zh/").text, client.get("/zh/").text, client.get("/en/").text] == ["zh", "zh", "en"]
    assert built.events == ["en built", "en starts", "zh built", "zh starts", "zh ends", "en ends"]


def test_two_who_ask_at_once_get_the_same_page():
    built = Built()

    async def ask() -> None:
        pages = LazyPages(built.page, "en")
        async with pages.lifespan(None):
            assert len(set(await asyncio.gather(*(pages._page("zh") for _ in range(5))))) == 1

    # In a thread of its own: the browser's tests leave a loop running in this one.
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, ask()).result()
    assert built.events.count("zh built") == built.events.count("zh starts") == 1
