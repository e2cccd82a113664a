"""What the file routes serve and refuse, over a real server."""

import hashlib
import http.client
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from starlette.applications import Starlette

from newbie_gui.files import byte_range, file_routes, workspace_roots
from newbie_gui.links import file_url, zip_url
from trainer_core.contracts.workspace import Workspace

TEXT = bytes(range(256)) * 4


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = Workspace(tmp_path_factory.mktemp("served") / "工作区")
    made.create()
    run = made.output / "run 1"
    run.mkdir()
    for name in ("a.bin", ".hidden", '100% 完成 é;".txt', "page.html", "picture.SVG", "x.png", "y.JPG"):
        (run / name).write_bytes(TEXT)
    (run / ".git").mkdir()
    (run / ".git" / "config").write_bytes(TEXT)
    (made.root / "outside.txt").write_bytes(TEXT)
    for name, target in {"out": made.root, "inside": run, "loop": run / "loop", "out.txt": "/etc/passwd"}.items():
        (run / name).symlink_to(target)
    (run / "to-hidden").symlink_to(run / ".hidden")
    os.mkfifo(run / "pipe")
    return made


@pytest.fixture(scope="module")
def site(serve, workspace: Workspace):
    roots = workspace_roots(workspace, {"k1": workspace.output / "run 1"}.get)
    return serve(Starlette(routes=[*file_routes(roots)]))


@pytest.mark.parametrize(
    ("root", "path"),
    [
        ("output", "run 1/a.bin"),
        ("output", 'run 1/100% 完成 é;".txt'),
        ("output", Path("run 1", "inside", "a.bin")),
        ("run-k1", "a.bin"),
    ],
)
def test_21_links_lead_to_their_files(site, root: str, path: str | Path):
    answer = site.ask(file_url(root, path))
    assert answer.status == 200 and answer.body == TEXT


@pytest.mark.parametrize(
    "path",
    [
        "/files/output/run%201/../../outside.txt",
        "/files/output/../outside.txt",
        "/files/output/run%201/..%2f..%2foutside.txt",
        "/files/output/%2e%2e/outside.txt",
        "/files/output/..%5coutside.txt",
        "/files/output//etc/passwd",
        "/files/output/%2Fetc%2Fpasswd",
        "/files/output/run%201//a.bin",
        "/files/output/run%201/./a.bin",
        "/files/output/run%201/out/outside.txt",
        "/files/output/run%201/out.txt",
        "/files/output/run%201/.hidden",
        "/files/output/run%201/to-hidden",
        "/files/output/run%201/.git/config",
        "/files/output/C:/Windows/win.ini",
        "/files/output/C:a.bin",
        "/files/output/run%201/a.bin::$DATA",
        "/files/output/%5C%5Cserver%5Cshare%5Cfile",
        "/files/output/run%201/a.bin%00.png",
        "/files/output/run%201/a.bin%20",
        "/files/output/run%201/a.bin.",
        "/files/output/CON",
        "/files/output/nul.txt",
        "/files/output/com1.safetensors",
        "/files/output/LPT%C2%B9",
        "/zip/output/run%201/..",
        "/zip/output/run%201/.git",
        "/zip/output/run%201/out",
    ],
)
def test_23_paths_that_are_never_served(site, path: str):
    assert site.ask(path).status == 403
    assert site.ask(path, method="HEAD").status == 403


@pytest.mark.parametrize(
    "path",
    [
        "/files/output/run%201/missing.bin",
        "/files/output/run%201",
        "/files/output/run%201/pipe",
        "/files/output/run%201/loop",
        "/files/output/run%201/a.bin/more",
        "/files/output/%252e%252e/outside.txt",
        "/files/output/%ff%fe",
        "/files/output/" + "a" * 5000,
        "/files/private/token",
        "/files/.private/token",
        "/files/run-/a.bin",
        "/files/run-k2/a.bin",
        "/files/run-../outside.txt",
        "/files/output/",
        "/files/output/run%201/a%0a.bin",
        "/zip/output/run%201/a.bin",
        "/zip/nothing/",
    ],
)
def test_23_paths_that_lead_nowhere(site, path: str):
    assert site.ask(path).status == 404


@pytest.mark.parametrize(
    ("name", "kind", "media_type"),
    [
        ("x.png", "inline", "image/png"),
        ("y.JPG", "inline", "image/jpeg"),
        ("page.html", "attachment", "application/octet-stream"),
        ("picture.SVG", "attachment", "application/octet-stream"),
        ("a.bin", "attachment", "application/octet-stream"),
    ],
)
def test_22_only_pictures_are_shown(site, name: str, kind: str, media_type: str):
    headers = site.ask(file_url("run-k1", name)).headers
    assert headers["content-type"] == media_type
    assert headers["content-disposition"].startswith(f"{kind}; filename=")
    assert (
        "sandbox" in headers["content-security-policy"] and "default-src 'none'" in headers["content-security-policy"]
    )


def test_21_non_ascii_names_survive_a_download(site):
    disposition = site.ask(file_url("run-k1", '100% 完成 é;".txt')).headers["content-disposition"]
    plain, true = disposition.removeprefix("attachment; filename=").split("; filename*=")
    assert plain == '"100_ __ _;_.txt"'
    assert true == "UTF-8''100%25%20%E5%AE%8C%E6%88%90%20%C3%A9%3B%22.txt"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=5-9", (5, 10)),
        ("BYTES=5-", (5, 100)),
        ("bytes=-7", (93, 100)),
        ("bytes=-700", (0, 100)),
        ("bytes=90-5000", (90, 100)),
        ("bytes=99-99", (99, 100)),
        ("bytes=100-", ValueError),
        ("bytes=-0", ValueError),
        ("bytes=10-5", None),
        ("bytes=0-1,5-6", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=--5", None),
        ("bytes=a-b", None),
        ("lines=0-1", None),
        ("bytes=٣-٤", None),
    ],
)
def test_21_ranges(header: str, expected: tuple[int, int] | None | type[ValueError]):
    if expected is ValueError:
        with pytest.raises(ValueError, match="100 bytes"):
            byte_range(header, 100)
    else:
        assert byte_range(header, 100) == expected


def test_21_a_cut_download_is_resumed(site):
    url = file_url("run-k1", "a.bin")
    whole = site.ask(url)
    rest = site.ask(url, {"Range": "bytes=700-", "If-Range": whole.headers["etag"], "User-Agent": "tell-tale"})
    assert (rest.status, rest.body) == (206, TEXT[700:])
    assert rest.headers["content-range"] == "bytes 700-1023/1024" and rest.headers["content-length"] == "324"
    assert "tell-tale" not in str(rest.headers)
    assert site.ask(url, {"Range": "bytes=700-", "If-Range": '"another"'}).status == 200
    beyond = site.ask(url, {"Range": "bytes=1024-"})
    assert (beyond.status, beyond.headers["content-range"]) == (416, "bytes */1024")


def test_21_head_tells_all_and_sends_nothing(site):
    answer = site.ask(file_url("run-k1", "a.bin"), method="HEAD")
    assert answer.status == 200 and answer.body == b"" and answer.headers["content-length"] == "1024"
    assert answer.headers["accept-ranges"] == "bytes"
    assert site.ask(file_url("run-k1", "a.bin"), method="POST").status == 405


def test_an_unchanged_picture_is_not_sent_again(site):
    url = file_url("run-k1", "x.png")
    known = {"If-None-Match": site.ask(url).headers["etag"]}
    assert (site.ask(url, known).status, site.ask(url, known).body) == (304, b"")


def test_a_growing_log_is_sent_as_long_as_it_was(serve, tmp_path: Path):
    grown = 50_000_000
    log = tmp_path / "train.log"
    log.write_bytes(b"x" * grown)
    site = serve(Starlette(routes=[*file_routes(workspace_roots(Workspace(tmp_path), lambda key: tmp_path))]))
    with site.reading(file_url("run-k", "train.log")) as response:
        first = response.read(1)
        with log.open("ab") as file:
            file.write(b"y" * 5_000_000)
        assert hashlib.sha256(first + response.read()).digest() == hashlib.sha256(b"x" * grown).digest()


def test_a_file_that_shrinks_breaks_the_connection(serve, tmp_path: Path):
    log = tmp_path / "train.log"
    log.write_bytes(b"x" * 50_000_000)
    site = serve(Starlette(routes=[*file_routes(workspace_roots(Workspace(tmp_path), lambda key: tmp_path))]))
    with site.reading(file_url("run-k", "train.log")) as response:
        response.read(1)
        os.truncate(log, 10)
        with pytest.raises((http.client.IncompleteRead, ConnectionError)):
            response.read()


SERVER = """
import sys, uvicorn
from pathlib import Path
from starlette.applications import Starlette
from newbie_gui.files import Roots, file_routes
from newbie_gui.security import AccessRules, Guard
roots = Roots(folders={"f": Path(sys.argv[1])}, run=lambda key: None)
app = Guard(Starlette(routes=[*file_routes(roots)]), AccessRules(token="t" * 40))
config = uvicorn.Config(app, port=0, log_level="warning", ws="none")
class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(self.servers[0].sockets[0].getsockname()[1], flush=True)
Server(config).run()
"""


@pytest.fixture
def child(tmp_path: Path, served_by):
    """A server process of its own, so that its memory can be measured; the folder it serves is ``tmp_path``."""
    process = subprocess.Popen([sys.executable, "-c", SERVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process, served_by(int(process.stdout.readline()))
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


def received(response: http.client.HTTPResponse, most: int, process: subprocess.Popen) -> tuple[int, int]:
    """Read up to ``most`` bytes; give their number and the server's peak memory in bytes."""
    count = peak = 0
    while count < most and (piece := response.read(min(2**24, most - count))):
        count += len(piece)
        peak = max(peak, psutil.Process(process.pid).memory_info().rss)
    return count, peak


@pytest.fixture
def big(tmp_path: Path) -> Path:
    made = tmp_path / "big" / "w.safetensors"
    made.parent.mkdir()
    with open(made, "wb") as file:
        file.truncate(3 * 2**30)
    return made


LOGIN = {"Authorization": "Bearer " + "t" * 40}


@pytest.mark.parametrize("url", [file_url("f", "big/w.safetensors"), zip_url("f", "big")], ids=["file", "zip"])
def test_21_three_gigabytes_start_at_once_in_little_memory(child, big: Path, url: str, record_figure):
    process, site = child
    started = time.monotonic()
    with site.reading(url, LOGIN) as response:
        response.read(1)
        first_s = time.monotonic() - started
        count, peak = received(response, 300_000_000, process)
    assert count == 300_000_000 and first_s < 1 and peak < 250e6
    assert [path.name for path in big.parent.iterdir()] == ["w.safetensors"]
    record_figure(f"3 GB download, server's peak MB ({url.split('/')[1]})", peak / 1e6)


def test_21_the_rest_of_three_gigabytes_is_sent_alone(child, big: Path):
    process, site = child
    with site.reading(file_url("f", "big/w.safetensors"), LOGIN | {"Range": f"bytes={3 * 2**30 - 1000}-"}) as response:
        assert response.status == 206 and len(response.read()) == 1000


@pytest.mark.slow
@pytest.mark.parametrize("url", [file_url("f", "big/w.safetensors"), zip_url("f", "big")], ids=["file", "zip"])
def test_21_three_gigabytes_arrive_whole(child, big: Path, url: str, record_figure):
    process, site = child
    started = time.monotonic()
    with site.reading(url, LOGIN) as response:
        count, peak = received(response, 2**40, process)
    assert 0 <= count - 3 * 2**30 < 1000 and peak < 250e6
    record_figure(f"3 GB download, s ({url.split('/')[1]})", time.monotonic() - started)


def test_21_a_browser_that_goes_away_ends_the_reading(child, tmp_path: Path):
    with open(tmp_path / "w.bin", "wb") as file:
        file.truncate(3 * 2**30)
    process, site = child
    watched = psutil.Process(process.pid)
    with site.reading(file_url("f", "w.bin"), LOGIN) as response:
        response.read(1)
        assert [file.path for file in watched.open_files() if file.path.endswith("w.bin")]
    deadline = time.monotonic() + 5
    while [file.path for file in watched.open_files() if file.path.endswith("w.bin")]:
        assert time.monotonic() < deadline
