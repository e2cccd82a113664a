"""Requests that are no browser's of ours, to the real app: each is refused with the status that says why."""

import http.client
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from gui_app import Application
from hostile_workspace import settled

from newbie_gui.security import cookie_name

Case = tuple[str, str, dict[str, str], bool, set[int]]

HOSTS = (
    "evil.com", "127.0.0.1.evil.com", "localhost.evil.com", "evil.com:80", "0.0.0.0", "127.0.0.2", "[::2]",
    "2130706433", "0x7f.1", "localhost@evil.com", "localhost/evil.com", "user:pass@127.0.0.1", " ",
    "localhost:99999999", "127.0.0.1,evil.com",
)  # fmt: skip
ORIGINS = (
    "http://evil.com", "null", "file://", "https://127.0.0.1", "http://localhost:1", "http://127.0.0.1.evil.com",
    "http://127.0.0.1:80", "chrome-extension://x", "http://[::1]:1", "javascript:alert(1)",
)  # fmt: skip
OUTSIDE = (
    "../.private/address", "..%2f.private%2faddress", "%2e%2e/.private/address", "..%5c.private%5caddress",
    "//etc/passwd", "%2Fetc%2Fpasswd", ".hidden", "C:/Windows/win.ini", "CON", "a.bin%00.png", "%5C%5Cserver%5Cshare",
    "a::$DATA", "....//....//etc/passwd", "%252e%252e/%252e%252e/etc/passwd", "~/.ssh/id_rsa", "..;/..;/etc/passwd",
)  # fmt: skip
GRADIO = (
    "file=/etc/passwd", "file=../../.private/address", "file=http://evil.com/x", "file/etc/passwd", "proxy=http://evil.com",
    "stream/x/../../etc", "component_server", "custom_component/../../x", "deep_link", "reset", "monitoring/summary",
)  # fmt: skip


@pytest.fixture
def app(hostile_app: Application) -> Application:
    return hostile_app


def cases(app: Application) -> Iterator[Case]:
    """(method, path, headers, with the token, the statuses that are right)"""
    yield from strangers(app)
    yield from odd_paths()


def strangers(app: Application) -> Iterator[Case]:
    for host in HOSTS:
        yield "GET", "/en/", {"Host": host}, True, {400}
    for origin in ORIGINS:
        for method, path in (
            ("GET", "/en/config"),
            ("POST", "/en/gradio_api/upload"),
            ("OPTIONS", "/en/gradio_api/run/x"),
        ):
            yield method, path, {"Origin": origin}, True, {403}
    for site in ("cross-site", "same-site"):
        yield "POST", "/en/gradio_api/upload", {"Sec-Fetch-Site": site}, True, {403}
    for path in (
        "/",
        "/en/",
        "/zh/config",
        "/files/output/x",
        "/zip/output/x",
        "/en/gradio_api/info",
        "/lang/zh",
        "/x",
    ):
        for method in ("GET", "POST", "PUT", "DELETE", "HEAD"):
            yield method, path, {}, False, {401}
    yield "GET", "/en/", {"Authorization": "Basic YTpi"}, False, {401}
    yield "GET", "/en/", {"Authorization": f"Bearer {app.token}x"}, False, {401}


def odd_paths() -> Iterator[Case]:
    for path in OUTSIDE:
        for route in ("files", "zip"):
            yield "GET", f"/{route}/output/{path}", {}, True, {403, 404}
    for path in GRADIO:
        yield "GET", f"/en/gradio_api/{path}", {}, True, {403, 404, 405, 422}
    for method in ("PUT", "DELETE", "PATCH", "TRACE"):
        yield method, "/en/gradio_api/upload", {}, True, {404, 405, 501}
    yield "POST", "/en/gradio_api/upload", {"Content-Type": "text/plain"}, True, {400, 415, 422}


def status_of(app: Application, method: str, path: str, headers: dict[str, str], let_in: bool) -> tuple[int, bytes]:
    port = int(app.base.rpartition(":")[2])
    cookie = {"Cookie": f"{cookie_name(port)}={app.token}"} if let_in else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with closing(connection):
        connection.request(method, path, b"" if method == "POST" else None, {**cookie, **headers})
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_04_05_06_23_every_wrong_request_is_refused(app: Application, record_figure: Callable[[str, str], None]):
    before = settled(app.workspace)
    tried = list(cases(app))
    answers = [(case, *status_of(app, *case[:4])) for case in tried]
    wrong = [(case[:3], status) for case, status, _ in answers if status not in case[4]]
    assert wrong == []
    assert not [case for case, _, body in answers if b"root:" in body or app.token.encode() in body]
    log = app.log_text()
    assert "Traceback" not in log and log.count(app.token) == 1
    assert settled(app.workspace) == before
    assert status_of(app, "GET", "/en/", {}, True)[0] == 200
    record_figure("hostile: wrong requests refused / tried", f"{len(answers)} / {len(tried)}")


def test_an_upload_that_breaks_off_leaves_nothing_and_no_traceback(app: Application):
    offset, uploads = app.log_file.stat().st_size, app.workspace.uploads
    before = sorted(uploads.rglob("*"))
    port = int(app.base.rpartition(":")[2])
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.zip"\r\n\r\n' + bytes(1 << 20)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        connection.putrequest("POST", "/en/gradio_api/upload")
        connection.putheader("Cookie", f"{cookie_name(port)}={app.token}")
        connection.putheader("Content-Type", "multipart/form-data; boundary=x")
        connection.putheader("Content-Length", str(10 << 20))
        connection.endheaders(head)
        wait_until(lambda: sorted(uploads.rglob("*")) != before)
    wait_until(lambda: sorted(uploads.rglob("*")) == before)
    time.sleep(0.2)
    assert "Traceback" not in app.log_text(offset)


def wait_until(met: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)
