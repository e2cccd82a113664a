"""The script that has to come before Gradio's."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from newbie_gui.head_script import TopScripts


def page(request: Request) -> Response:
    if "accept-encoding" in request.headers:
        return Response(b"compressed", media_type="text/html")
    return HTMLResponse('<html lang="en"><head><title>猫</title></head></html>')


@pytest.fixture
def client() -> TestClient:
    inner = Starlette(routes=[Route("/zh/", page), Route("/zh/a.js", lambda request: Response(b"<head>"))])
    return TestClient(TopScripts(inner, {"/zh/": ("zh-CN", "alert('你好')"), "/zh/a.js": ("zh-CN", "no")}))


def test_a_page_gets_its_script_first_and_its_language(client: TestClient):
    answer = client.get("/zh/")
    assert answer.text.startswith("<html lang=\"zh-CN\"><head><script>\nalert('你好')\n</script><title>猫")
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_everything_else_passes_as_it_is(client: TestClient):
    assert client.get("/zh/a.js").content == b"<head>"
    assert client.head("/zh/").content == b""
