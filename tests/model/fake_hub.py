"""A server on this computer that speaks as much of the hub's language as a download needs."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import unquote, urlsplit

SHA = "a" * 40
TOKEN = "hf_SeCrEt123"


class FakeHub(ThreadingHTTPServer):
    """repos: name -> files. gated: names that answer 403 GatedRepo; closed: names that need TOKEN.

    cuts: path -> after how many bytes of an answer to hang up. sent: path -> bytes of its content that went out.
    ranges: whether the rest of a file may be asked for.
    """

    def __init__(self, repos: dict[str, dict[str, bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos, self.gated, self.closed, self.status = repos, set[str](), set[str](), 0
        self.asked: list[str] = []
        self.cuts: dict[str, int] = {}
        self.sent: dict[str, int] = {}
        self.ranges = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def fetched(self) -> set[str]:
        """Paths of the files whose content was asked for."""
        return {
            path.split(f"/resolve/{SHA}/")[1] for path in self.asked if path.startswith("GET") and "/resolve/" in path
        }


class Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def do_GET(self) -> None:  # noqa: N802
        path = unquote(urlsplit(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        parts = path.removeprefix("/api/models").strip("/").split("/")
        name, rest = "/".join(parts[:2]), parts[2:]
        if refusal := self.refusal(name):
            return self.answer(b"", *refusal)
        files = self.server.repos[name]
        if not path.startswith("/api/"):
            return self.file(files, "/".join(rest[2:]))
        if rest[:1] == ["tree"]:
            listing = [{"type": "file", "path": p, "size": len(c), "oid": digest(c)} for p, c in files.items()]
            return self.answer(json.dumps(listing).encode())
        if rest[1:] not in ([], ["main"], [SHA]):
            return self.answer(b"", 404, "RevisionNotFound")
        siblings = [{"rfilename": p} | (self.described(c) if "blobs" in self.path else {}) for p, c in files.items()]
        return self.answer(json.dumps({"id": name, "sha": SHA, "siblings": siblings}).encode())

    do_HEAD = do_GET  # noqa: N815

    def refusal(self, name: str) -> tuple[int, str] | None:
        sent = self.headers.get("Authorization")
        if self.server.status:
            return self.server.status, ""
        if sent and sent != f"Bearer {TOKEN}":
            return 401, "!Invalid credentials in Authorization header"
        if name not in self.server.repos or (name in self.server.closed and not sent):
            return (404 if sent else 401), "RepoNotFound"
        # As on the real hub, a gated repository's list of files is open to everyone.
        closed = name in self.server.gated and "/resolve/" in self.path
        return (403 if sent else 401, "GatedRepo") if closed else None

    def described(self, content: bytes) -> dict[str, object]:
        """As the hub does, larger files come with their SHA-256."""
        lfs = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
        return {"size": len(content), "blobId": digest(content)} | ({"lfs": lfs} if len(content) > 1000 else {})

    def file(self, files: dict[str, bytes], path: str) -> None:
        content = files[path]
        about = {"ETag": f'"{digest(content)}"', "X-Repo-Commit": SHA}
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1]) if self.server.ranges else 0
        if start:
            about["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.answer(content[start:], 206 if start else 200, extra=about, counted=path)

    def answer(
        self, body: bytes, status: int = 200, code: str = "", extra: dict[str, str] | None = None, counted: str = ""
    ) -> None:
        self.send_response(status)
        headers = {"X-Error-Message": code[1:]} if code.startswith("!") else {"X-Error-Code": code} if code else {}
        for key, value in {**headers, **(extra or {}), "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "GET":
            return
        cut = self.server.cuts.pop(counted, None)
        # Before it is written: a test that kills who asked counts anew right afterwards.
        self.server.sent[counted] = self.server.sent.get(counted, 0) + len(body[:cut])
        with suppress(ConnectionError):
            self.wfile.write(body[:cut])
        self.close_connection |= cut is not None

    def log_message(self, *_: object) -> None:
        pass


def digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@contextmanager
def serving(repos: dict[str, dict[str, bytes]]) -> Iterator[FakeHub]:
    hub = FakeHub(repos)
    thread = Thread(target=hub.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()
