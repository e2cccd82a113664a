"""The rules of the guard and of the file routes on the real app: that they are wired, not what each of them refuses."""

import http.client
import json
from collections.abc import Iterator, Mapping

import psutil
import pytest
from gui_app import Application

from newbie_gui.security import cookie_name


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """One of this module's own: strangers are locked out of it, and its log and look-ups are counted."""
    application = Application(tmp_path_factory.mktemp("access"))
    application.start()
    yield application
    application.close()


def ask(app: Application, path: str, method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    connection = http.client.HTTPConnection(app.base.removeprefix("http://"), timeout=30)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, b"x" * 10 if method == "POST" else None, sent)
    answer = connection.getresponse()
    try:
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def let_in(app: Application, path: str, method: str = "GET", **headers: str) -> tuple[int, Mapping[str, str], bytes]:
    """With the cookie, as a browser asks that came in by the address."""
    port = app.base.rpartition(":")[2]
    return ask(app, path, method, Cookie=f"{cookie_name(int(port))}={app.token}", **headers)


def test_01_only_this_machine_can_reach_it(app: Application):
    listening = [each.laddr.ip for each in app.process.net_connections() if each.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"]


def test_02_nothing_without_the_token(app: Application):
    for path in ("/", "/en/", "/zh/config", "/en/theme.css", "/en/gradio_api/info", "/files/output/x"):
        assert ask(app, path)[0] == 401, path


def test_02_03_the_token_is_printed_once_and_new_at_every_start(app: Application):
    assert len(app.token) == 43 and app.log_text().count(app.token) == 1


def test_04_05_06_07_foreign_requests(app: Application):
    assert let_in(app, "/en/", Host="evil.com")[0] == 400
    assert let_in(app, "/en/gradio_api/upload", "POST", Origin="http://evil.com")[0] == 403
    assert let_in(app, "/en/gradio_api/upload", "OPTIONS", Origin="http://evil.com")[0] == 403
    assert b"evil.com" not in let_in(app, "/en/", X_Forwarded_Host="evil.com")[2]


def test_07_10_a_forged_sender_does_not_get_more_guesses(app: Application):
    answers = [ask(app, f"/?token=wrong{number}", X_Forwarded_For=f"9.9.9.{number}")[0] for number in range(12)]
    assert answers[-1] == 429 and set(answers) == {401, 429}


def test_08_security_headers(app: Application):
    for path in ("/en/", "/en/nothing-here", "/lang/xx", "/files/output/none"):
        headers = {name.lower(): value for name, value in let_in(app, path)[1].items()}
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff", path
        assert "default-src" in headers["content-security-policy"] and "server" not in headers, path


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_09_14_15_what_gradio_could_do_is_off(app: Application, lang: str):
    config = json.loads(let_in(app, f"/{lang}/config")[2])
    assert config["connect_heartbeat"] is False
    for name in ("analytics_enabled", "run_history", "mcp_server", "show_error", "pwa"):
        assert config[name] is False, name
    assert config["footer_links"] == [] and config["space_id"] is None
    private = [each for each in config["dependencies"] if each["api_visibility"] != "private"]
    assert private == []


def test_14_pages_about_the_program_are_off(app: Application):
    for path in ("/docs", "/redoc", "/openapi.json", "/gradio_api/mcp", "/monitoring"):
        assert let_in(app, path)[0] == 404, path
        assert let_in(app, "/en" + path)[0] in (403, 404), path


def test_23_gradios_own_file_route_gives_nothing_away(app: Application):
    private = app.workspace.private / "address"
    for path in ("/etc/passwd", "app.py", private, "http://evil.com/x", app.workspace.output, app.watch_file):
        assert let_in(app, f"/en/gradio_api/file={path}")[0] in (403, 404), path


def test_40_a_second_start_shows_the_first(app: Application):
    second = Application(app.workspace.root.parent)
    try:
        second.start(expect="already running")
    finally:
        second.stop()
    assert second.address == app.address


def test_11_nothing_was_looked_up_or_called(app: Application):
    assert app.foreign_lookups() == []
