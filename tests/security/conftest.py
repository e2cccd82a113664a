"""A real server for one application, and raw requests to it that nothing tidies up on the way."""

import http.client
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

import pytest
import uvicorn
from starlette.types import ASGIApp

# Their makers of small pictures, data sets and running applications serve here as well.
sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("dataset", "gui")]

from dataset_desk import desk  # noqa: E402 - found by the line above
from gui_app import Application  # noqa: E402

__all__ = ["desk"]


class Right:
    """How many cases of a module came out right; its last test tells them as a figure."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, cases: int = 1) -> None:
        self.count += cases


@pytest.fixture(scope="module")
def right() -> Right:
    return Right()


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    headers: Message
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Served:
    """A running server; ``port`` is on 127.0.0.1."""

    port: int

    def ask(self, path: str, headers: Mapping[str, str] = {}, method: str = "GET", body: bytes = b"") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with closing(connection):
            connection.request(method, path, body or None, dict(headers))
            response = connection.getresponse()
            return Answer(status=response.status, headers=response.headers, body=response.read())

    @contextmanager
    def reading(self, path: str, headers: Mapping[str, str] = {}) -> Iterator[http.client.HTTPResponse]:
        """Give the answer to a GET while it comes; leaving early closes the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        with closing(connection):
            connection.request("GET", path, headers=dict(headers))
            with connection.getresponse() as response:
                yield response


@pytest.fixture
def served_by() -> Callable[[int], Served]:
    """Make a Served for a server that runs elsewhere."""
    return lambda port: Served(port=port)


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Served]]:
    """Call it with an application (and uvicorn options): runs until the end of the module."""
    running: list[tuple[uvicorn.Server, threading.Thread]] = []

    def start(app: ASGIApp, **options: object) -> Served:
        chosen = {"log_level": "warning", "proxy_headers": False, "ws": "none", **options}
        server = uvicorn.Server(uvicorn.Config(app, port=0, timeout_graceful_shutdown=1, **chosen))  # type: ignore
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread))
        deadline = time.monotonic() + 10
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline
            threading.Event().wait(0.01)
        return Served(port=server.servers[0].sockets[0].getsockname()[1])

    yield start
    for server, thread in running:
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="package")
def hostile_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """The real app in a workspace of hostile names; one for all, as each start takes seconds."""
    from hostile_workspace import fill  # loads torch, which most tests here do without

    app = Application(tmp_path_factory.mktemp("hostile"))
    fill(app.workspace)
    app.start()
    yield app
    app.close()
