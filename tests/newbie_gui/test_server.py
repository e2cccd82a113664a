"""The start of the server: the browser is opened and never waited for."""

import socket
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import uvicorn

from newbie_gui import server
from trainer_core.contracts.workspace import Workspace


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a browser was opened with, on a Linux without a screen."""
    addresses: list[str] = []
    monkeypatch.setattr("webbrowser.open", addresses.append)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("os.name", "posix")
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    return addresses


def test_no_browser_without_a_screen(opened: list[str], monkeypatch: pytest.MonkeyPatch):
    server._open_browser("http://a")
    assert not opened
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    server._open_browser("http://a")
    assert opened == ["http://a"]


def test_a_browser_that_waits_for_the_page_does_not_hold_up_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    answers, shown = threading.Event(), threading.Event()

    def browser(address: str) -> None:
        if answers.wait(5):
            shown.set()

    def run(self: uvicorn.Server, sockets: object) -> None:
        answers.set()
        assert shown.wait(5)

    monkeypatch.setattr(server, "quiet_environment", lambda: None)
    monkeypatch.setattr("webbrowser.open", browser)
    monkeypatch.setenv("DISPLAY", ":0")
    # Gradio takes seconds to import.
    monkeypatch.setitem(sys.modules, "newbie_gui.web", SimpleNamespace(build_app=lambda services, lang: None))
    monkeypatch.setattr("uvicorn.Server.run", run)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "set to something else and back")
    asked = server.Options(host="127.0.0.1", port=0, open_browser=True, workspace=tmp_path, lang=None)
    assert server.serve(asked) == 0


def options(workspace: Path, *, host: str = "127.0.0.1", port: int | None = 0) -> server.Options:
    return server.Options(host=host, port=port, open_browser=False, workspace=workspace, lang=None)


def test_the_address_of_a_killed_page_is_gone_while_the_next_one_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    address = Workspace(tmp_path).private / "address"
    address.parent.mkdir(parents=True)
    address.write_text("http://killed")

    def second_start(*_: object) -> None:
        threading.Timer(0.3, address.write_text, ["http://new"]).start()
        assert server.serve(options(tmp_path)) == 0

    monkeypatch.setattr(server, "_run", second_start)
    monkeypatch.setattr(server, "quiet_environment", lambda: None)
    monkeypatch.setenv("GRADIO_TEMP_DIR", "set to something else and back")
    assert server.serve(options(tmp_path)) == 0
    assert capsys.readouterr().out == f"The trainer is already running in {tmp_path}: http://new\n"


def test_a_taken_usual_port_is_passed_over_and_an_asked_one_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        monkeypatch.setattr(server, "USUAL_PORT", taken)
        with pytest.raises(OSError) as refused:
            server._first_listener("127.0.0.1", taken)
        found = server._first_listener("127.0.0.1", None)
    assert "Another program has the port" in server._listening_hint(refused.value)
    port = found.getsockname()[1]
    found.close()
    assert taken < port < taken + 20
    assert capsys.readouterr().out == f"Another program has port {taken}: this page takes {port}.\n"


def test_every_address_means_those_of_both_kinds(monkeypatch: pytest.MonkeyPatch):
    asked: dict[str, bool] = {}
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: True)
    monkeypatch.setattr(socket, "create_server", lambda to, **how: asked.update({to[0]: how["dualstack_ipv6"]}))
    for host in ("::", "::1", "127.0.0.1"):
        server._listen(host, 0)
    assert asked == {"::": True, "::1": False, "127.0.0.1": False}


def test_what_is_wrong_with_a_host_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    # RFC 5737: addresses for documentation, which no machine has.
    assert server.serve(options(tmp_path, host="192.0.2.1", port=None)) == 1
    said = capsys.readouterr().err
    assert "--host must be an address of this machine." in said and "while attempting" not in said
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    assert "No machine of this name is known" in server._listening_hint(unknown)
