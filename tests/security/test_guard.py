"""The rules of newbie_gui.security over a real server; numbers as in docs/reliability.md."""

import asyncio
import http.client
import io
import logging

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from newbie_gui.security import AccessRules, Guard, allowed_hosts, cookie_name

TOKEN = "a-token-of-this-start-0123456789abcdef"
RULES = AccessRules(token=TOKEN)
BEARER = {"Authorization": f"Bearer {TOKEN}"}


async def seen(request: Request) -> JSONResponse:
    """Tells what reached the application."""
    size = len(await request.body())
    facts = {"headers": dict(request.headers), "base": str(request.base_url), "client": request.client.host}
    return JSONResponse(facts | {"size": size})


async def broken(request: Request) -> JSONResponse:
    raise ZeroDivisionError("on purpose")


async def endless(request: Request) -> StreamingResponse:
    async def pieces():
        while True:
            yield b"data: 1\n\n"
            await asyncio.sleep(0.01)

    return StreamingResponse(pieces(), media_type="text/event-stream")


def inner() -> Starlette:
    methods = ["GET", "POST", "PUT", "DELETE", "OPTIONS"]
    return Starlette(
        routes=[Route("/broken", broken), Route("/events", endless), Route("/{path:path}", seen, methods=methods)]
    )


@pytest.fixture(scope="module")
def site(serve):
    return serve(Guard(inner(), RULES))


def client(rules: AccessRules = RULES, **options) -> TestClient:
    return TestClient(Guard(inner(), rules), base_url="http://localhost:7860", follow_redirects=False, **options)


def test_04_own_host_names_are_answered(site):
    for host in ("localhost", f"localhost:{site.port}", "LOCALHOST", "127.0.0.1:9000", "[::1]:7860"):
        assert site.ask("/", BEARER | {"Host": host}).status == 200, host


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "evil.com:7860",
        "localhost.evil.com",
        "127.0.0.1.evil.com",
        "evil.com@127.0.0.1",
        "127.0.0.1@evil.com",
        "localhost.",
        "127.0.0.2",
        "0.0.0.0",
        "[::]:7860",
        "2130706433",
        "localhost:7860:80",
        "localhost, evil.com",
        "localhost/..",
        "",
    ],
)
def test_04_foreign_host_is_answered_400(site, host: str):
    answer = site.ask("/", BEARER | {"Host": host})
    assert answer.status == 400 and b"evil" not in answer.body


def test_04_hosts_of_an_address_in_the_network():
    assert allowed_hosts("192.168.1.5") == {"localhost", "127.0.0.1", "[::1]", "192.168.1.5"}
    assert allowed_hosts("0.0.0.0", ["Trainer.lan"]) == {"localhost", "127.0.0.1", "[::1]", "trainer.lan"}
    assert "[fe80::1]" in allowed_hosts("fe80::1") and allowed_hosts("::") == allowed_hosts("127.0.0.1")


FOREIGN = [
    {"Origin": "http://evil.com"},
    {"Origin": "null"},
    {"Origin": "http://localhost:9999"},
    {"Origin": "http://localhost"},
    {"Origin": "https://localhost:7860"},
    {"Origin": "http://127.0.0.1:7860"},
    {"Origin": "http://localhost:7860.evil.com"},
    {"Origin": "http://localhost:7860@evil.com"},
    {"Origin": "http://evil.com/http://localhost:7860"},
    {"Origin": "file://"},
    {"Origin": "chrome-extension://abcdefgh"},
    {"Origin": ""},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost:7860"},
]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("headers", FOREIGN, ids=lambda headers: " ".join(headers.values()) or "empty")
def test_05_foreign_origin_is_answered_403(site, method: str, headers: dict[str, str]):
    answer = site.ask("/gradio_api/upload", BEARER | {"Host": "localhost:7860"} | headers, method)
    assert answer.status == 403


def test_05_foreign_upload_never_reaches_the_application(site):
    headers = BEARER | {"Origin": "http://evil.com", "Content-Type": "multipart/form-data; boundary=x"}
    assert site.ask("/gradio_api/upload", headers, "POST", bytes(3_000_000)).status == 403


@pytest.mark.parametrize("headers", [{}, {"Origin": "http://localhost:7860"}, {"Sec-Fetch-Site": "same-origin"}])
def test_05_own_origin_may_upload(site, headers: dict[str, str]):
    answer = site.ask("/gradio_api/upload", BEARER | {"Host": "localhost:7860"} | headers, "POST", b"12345")
    assert answer.status == 200 and b'"size":5' in answer.body


def test_06_preflight_of_a_foreign_origin_gets_no_permission(site):
    asked = {"Origin": "http://evil.com", "Access-Control-Request-Method": "POST"}
    answer = site.ask("/gradio_api/queue/join", asked, "OPTIONS")
    assert answer.status == 403
    assert not [name for name in answer.headers if name.lower().startswith("access-control-allow")]


FORWARDED = {
    "X-Forwarded-Host": "evil.com",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-For": "9.9.9.9",
    "X-Forwarded-Port": "1",
    "Forwarded": "host=evil.com",
}


def test_07_forwarded_headers_are_dropped(site):
    body = site.ask("/", BEARER | FORWARDED).body
    assert b"evil.com" not in body and b"9.9.9.9" not in body and b"forwarded" not in body


def test_07_a_proxy_that_was_configured_is_believed():
    rules = AccessRules(token=TOKEN, hosts=frozenset({"trainer.example"}), secure=True, proxy="10.0.0.1")
    told = BEARER | {"X-Forwarded-Host": "trainer.example", "X-Forwarded-For": "evil, 10.9.9.9"}
    facts = client(rules, client=("10.0.0.1", 1)).get("/", headers=told).json()
    assert facts["client"] == "10.9.9.9" and facts["base"].startswith("https://")
    assert client(rules, client=("10.0.0.2", 1)).get("/", headers=told).status_code == 400
    wrong = told | {"Origin": "http://trainer.example"}
    assert client(rules, client=("10.0.0.1", 1)).get("/", headers=wrong).status_code == 403
    right = told | {"Origin": "https://trainer.example"}
    assert client(rules, client=("10.0.0.1", 1)).get("/", headers=right).status_code == 200


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", BEARER, 200),
        ("/", {}, 401),
        (f"/?token={TOKEN}", {}, 303),
        ("/", {"Host": "evil.com"}, 400),
        ("/", {"Origin": "null"}, 403),
        ("/events?token=wrong", {}, 401),
        ("/broken", BEARER, 500),
    ],
)
def test_08_every_answer_carries_the_security_headers(path: str, headers: dict[str, str], status: int):
    answer = client(raise_server_exceptions=False).get(path, headers=headers)
    assert answer.status_code == status
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["referrer-policy"] == "no-referrer"
    policy = answer.headers["content-security-policy"]
    for part in ("default-src 'self'", "connect-src 'self'", "frame-ancestors 'none'", "object-src 'none'"):
        assert part in policy


def test_08_an_endless_stream_comes_through_piece_by_piece(serve):
    port = serve(Guard(inner(), RULES)).port
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/events", headers=BEARER)
    assert connection.getresponse().read(9) == b"data: 1\n\n"
    connection.close()


@pytest.mark.parametrize("path", ["/", "/en", "/theme.css", "/gradio_api/info", "/gradio_api/startup-events", "/x.png"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN.upper()},
        {"Authorization": "Basic " + TOKEN},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": "Bearer ü"},
    ],
)
def test_02_no_or_a_wrong_token_is_answered_401_everywhere(path: str, headers: dict[str, str]):
    answer = client().get(path, headers={name: value.encode() for name, value in headers.items()})
    assert answer.status_code == 401
    assert "the launcher printed" in answer.text and "启动器" in answer.text and TOKEN not in answer.text


def test_02_the_other_ports_cookie_does_not_open():
    assert client(cookies={cookie_name(7861): TOKEN}).get("/").status_code == 401
    assert client(cookies={cookie_name(7860): TOKEN}).get("/").status_code == 200


@pytest.mark.parametrize(
    ("asked", "target"),
    [
        (f"/?token={TOKEN}", "/"),
        (f"/zh?a=1&token={TOKEN}&b=%E4%B8%AD", "/zh?a=1&b=%E4%B8%AD"),
        (f"//evil.com/?token={TOKEN}", "/evil.com/"),
        (f"/%5Cevil.com?token={TOKEN}", "/evil.com"),
    ],
)
def test_03_token_moves_from_the_address_to_a_cookie(site, asked: str, target: str):
    answer = site.ask(asked, {"Host": "localhost:7860"})
    assert answer.status == 303 and answer.headers["location"] == target
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(f"newbie_token_7860={TOKEN};")
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" not in cookie
    assert site.ask("/", {"Host": "localhost:7860", "Cookie": cookie.split(";")[0]}).status == 200


def test_03_cookie_is_for_https_only_where_https_is_spoken():
    answer = client(AccessRules(token=TOKEN, secure=True)).get(f"/?token={TOKEN}")
    assert "Secure" in answer.headers["set-cookie"]


def test_03_token_stays_out_of_the_servers_log(serve):
    log = io.StringIO()
    handler = logging.StreamHandler(log)
    logging.getLogger("uvicorn.access").addHandler(handler)
    site = serve(Guard(inner(), RULES), log_level="info", log_config=None)
    assert site.ask(f"/page?token={TOKEN}&a=1").status == 303
    assert site.ask("/page?token=wrong-one").status == 401
    logging.getLogger("uvicorn.access").removeHandler(handler)
    assert "/page?a=1" in log.getvalue() and "303" in log.getvalue()
    assert TOKEN not in log.getvalue() and "wrong-one" not in log.getvalue()
    assert TOKEN not in repr(AccessRules(token=TOKEN))


@pytest.mark.parametrize(
    "path", ["/en/gradio_api/file=http://evil.com/x", "/x/proxy=HTTPS://evil.com", "/file=%20http:/a"]
)
def test_11_no_address_of_the_callers_choice_is_called(site, path: str):
    assert site.ask(path, BEARER).status == 404 and site.ask(path).status == 401


def test_websockets_are_refused():
    with pytest.raises(WebSocketDisconnect), client(headers=BEARER).websocket_connect("/"):
        pass
