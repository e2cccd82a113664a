"""The script that has to come before Gradio's."""

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from newbie_gui.localized import TopScripts


def page(request: Request) -> Response:
    if "accept-encoding" in request.headers:
        return Response(b"compressed", media_type="text/html")
    return HTMLResponse('<html lang="en"><head><title>猫</title></head></html>')


@pytest.fixture
def client() -> httpx.AsyncClient:
    inner = Starlette(routes=[Route("/zh/", page), Route("/zh/a.js", lambda request: Response(b"<head>"))])
    app = TopScripts(inner, {"/zh/": ("zh-CN", "alert('你好')"), "/zh/a.js": ("zh-CN", "no")})
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here")


@pytest.mark.anyio
async def test_a_page_gets_its_script_first_and_its_language(client: httpx.AsyncClient):
    answer = await client.get("/zh/")
    assert answer.text.startswith("<html lang=\"zh-CN\"><head><script>\nalert('你好')\n</script><title>猫")
    assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.anyio
async def test_everything_else_passes_as_it_is(client: httpx.AsyncClient):
    assert (await client.get("/zh/a.js")).content == b"<head>"
    assert (await client.head("/zh/")).content == b""
