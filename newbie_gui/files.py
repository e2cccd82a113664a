"""Serves the folders a person may download from: single files at ``/files/ROOT/PATH``, folders at ``/zip/ROOT/PATH``.

Why not Gradio's own file routes: they copy and hash a file before it is sent, show HTML and SVG as pages of our
origin, and echo request headers in answers to ranges. Why not starlette's FileResponse: it promises the length a file
had and then sends whatever it has grown to, and a log grows all the time.
"""

import os
import re
import stat
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from newbie_gui.zipping import zip_pieces
from trainer_core.contracts.workspace import Workspace

# The only types a browser may show; none of them can hold a script.
INLINE_TYPES = MappingProxyType(
    {
        ".png": "image/png",
        ".jpg": "image/jpeg",
        ".jpeg": "image/jpeg",
        ".webp": "image/webp",
        ".gif": "image/gif",
        ".avif": "image/avif",
        ".bmp": "image/bmp",
    }
)
# Should a browser show it after all, it may neither run nor load anything.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_PIECE = 1024 * 1024

_RUN_PREFIX = "run-"
_DEVICE = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³])\s*(\..*)?", re.IGNORECASE)
_UNFIT = re.compile(r"[\x00-\x1f\x7f\\:]")
_RANGE = re.compile(r"bytes=\s*([0-9]*)-([0-9]*)\s*", re.IGNORECASE | re.ASCII)


class PathRefused(Exception):
    """A path that is not served: ``status`` 403 for what is never served, 404 for what is not there."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


class FileTruncated(Exception):
    """A file became shorter while it was sent."""


@dataclass(frozen=True, kw_only=True)
class Roots:
    """The folders that are served, by the first part of the URL's path.

    Attributes:
        folders: name -> folder. It need not exist yet.
        run: the folder of the run with this key, None where there is none; asked for names "run-KEY".
    """

    folders: Mapping[str, Path]
    run: Callable[[str], Path | None]

    def folder(self, root: str) -> Path:
        """Return the root's real folder. Raises PathRefused."""
        found = self.run(root.removeprefix(_RUN_PREFIX)) if root.startswith(_RUN_PREFIX) else self.folders.get(root)
        if found is None:
            raise PathRefused(HTTPStatus.NOT_FOUND)
        return _resolved(found)

    def find(self, root: str, relative: str) -> Path:
        """Return the real path of ``relative`` (parts joined by "/", "" for the folder itself) below ``root``.

        Raises PathRefused: 404 where nothing is there; 403 for what would leave the folder (.., absolute, drives, links
        that lead out), hidden files, and names that mean a device or another file on Windows.
        """
        folder = self.folder(root)
        parts = relative.removesuffix("/").split("/") if relative else []
        if not all(_is_served(part) for part in parts):
            raise PathRefused(HTTPStatus.FORBIDDEN)
        path = _resolved(folder.joinpath(*parts))
        if not path.is_relative_to(folder) or not all(_is_served(part) for part in path.relative_to(folder).parts):
            raise PathRefused(HTTPStatus.FORBIDDEN)
        return path


def workspace_roots(workspace: Workspace, run: Callable[[str], Path | None]) -> Roots:
    """Return the roots of a workspace: output, models, loras, jobs, thumbs, and ``run-KEY``."""
    folders = {
        "output": workspace.output,
        "models": workspace.models,
        "loras": workspace.loras,
        "jobs": workspace.jobs,
        "thumbs": workspace.thumbnails,
    }
    return Roots(folders=MappingProxyType(folders), run=run)


def file_routes(roots: Roots) -> list[Route]:
    """Return the routes, for a starlette or FastAPI application. They answer GET and HEAD."""

    # Plain functions: starlette runs them in a thread, where a slow disk stops nobody else.
    def file(request: Request) -> Response:
        try:
            return _file_answer(roots.find(request.path_params["root"], request.path_params["path"]), request)
        except PathRefused as refused:
            return _refusal(refused.status)

    def folder_zip(request: Request) -> Response:
        try:
            return _zip_answer(roots.find(request.path_params["root"], request.path_params["path"]), request)
        except PathRefused as refused:
            return _refusal(refused.status)

    return [Route("/files/{root}/{path:path}", file), Route("/zip/{root}/{path:path}", folder_zip)]


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Return (first byte, one past the last) of a ``Range`` header.

    None where the whole file is to be sent: a header that is malformed, or asks for several ranges at once.
    Raises ValueError where the file (``size`` bytes) has none of the bytes asked for.
    """
    found = _RANGE.fullmatch(header)
    if found is None or found[1] == found[2] == "":
        return None
    if found[1] == "":
        first, end = max(0, size - int(found[2])), size
    else:
        first, end = int(found[1]), min(size, int(found[2]) + 1) if found[2] else size
        if found[2] and int(found[2]) < first:
            return None
    if first >= size:
        raise ValueError(f"the file has {size} bytes")
    return first, end


class _Stream(StreamingResponse):
    """Sends pieces; whatever ends it (the last piece, a browser that went away), ``close`` is called."""

    def __init__(
        self, pieces: Generator[bytes], close: Callable[[], None], *, status: int, headers: Mapping[str, str]
    ) -> None:
        super().__init__(pieces, status_code=status, headers=headers)
        self._close = close

    async def stream_response(self, send: Send) -> None:
        try:
            await super().stream_response(send)
        except FileTruncated:
            # Left unfinished: the server breaks the connection, and no browser takes what came for a whole file.
            return

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._close()


def _is_served(part: str) -> bool:
    if part == "" or part[0] == "." or part[-1] in ". " or _UNFIT.search(part):
        return False
    return _DEVICE.fullmatch(part) is None


def _resolved(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        # A loop of links is a RuntimeError before Python 3.13.
        raise PathRefused(HTTPStatus.NOT_FOUND) from error


def _refusal(status: HTTPStatus) -> Response:
    text = "Not found. 找不到文件。" if status is HTTPStatus.NOT_FOUND else "Not allowed. 不允许访问。"
    return PlainTextResponse(text, status_code=status, headers={"content-security-policy": _POLICY})


def _open(path: Path) -> tuple[BinaryIO, os.stat_result]:
    """Open a regular file; its size and date come from what was opened, not from what the name meant before."""
    # Neither a link put there since the check is followed, nor a pipe without a writer waited for.
    extra = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | extra))
    except OSError as error:
        raise PathRefused(HTTPStatus.NOT_FOUND) from error
    facts = os.fstat(file.fileno())
    if not stat.S_ISREG(facts.st_mode):
        file.close()
        raise PathRefused(HTTPStatus.NOT_FOUND)
    return file, facts


def _file_answer(path: Path, request: Request) -> Response:
    file, facts = _open(path)
    headers = _file_headers(path.name, facts)
    try:
        first, end, status = _wanted(request.headers, headers, facts.st_size)
    except ValueError:
        file.close()
        headers["content-range"] = f"bytes */{facts.st_size}"
        return Response(status_code=HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers=headers)
    if request.headers.get("if-none-match") == headers["etag"]:
        file.close()
        return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
    headers["content-length"] = str(end - first)
    if status == HTTPStatus.PARTIAL_CONTENT:
        headers["content-range"] = f"bytes {first}-{end - 1}/{facts.st_size}"
    if request.method == "HEAD":
        file.close()
        return Response(status_code=status, headers=headers)
    return _Stream(_file_pieces(file, first, end), file.close, status=status, headers=headers)


def _wanted(asked: Headers, known: Mapping[str, str], size: int) -> tuple[int, int, HTTPStatus]:
    """Return (first byte, one past the last, status). Raises ValueError as `byte_range` does."""
    condition = asked.get("if-range")
    header = asked.get("range")
    if header is None or (condition is not None and condition not in (known["etag"], known["last-modified"])):
        return 0, size, HTTPStatus.OK
    found = byte_range(header, size)
    return (0, size, HTTPStatus.OK) if found is None else (*found, HTTPStatus.PARTIAL_CONTENT)


def _file_headers(name: str, facts: os.stat_result) -> dict[str, str]:
    media_type = INLINE_TYPES.get(Path(name).suffix.lower())
    return {
        "content-type": media_type or "application/octet-stream",
        "content-disposition": _disposition(name, "attachment" if media_type is None else "inline"),
        "content-security-policy": _POLICY,
        "accept-ranges": "bytes",
        "etag": f'"{facts.st_mtime_ns:x}-{facts.st_size:x}"',
        "last-modified": formatdate(facts.st_mtime, usegmt=True),
        "cache-control": "private, no-cache",
    }


def _disposition(name: str, kind: str) -> str:
    """RFC 6266: a name in plain ASCII for old programs, the true one beside it."""
    plain = re.sub(r"[^ !#-\[\]-~]|%", "_", name)
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='', errors='replace')}"


def _file_pieces(file: BinaryIO, first: int, end: int) -> Generator[bytes]:
    file.seek(first)
    left = end - first
    while left:
        piece = file.read(min(_PIECE, left))
        if not piece:
            raise FileTruncated
        left -= len(piece)
        yield piece


def _zip_answer(folder: Path, request: Request) -> Response:
    if not folder.is_dir():
        raise PathRefused(HTTPStatus.NOT_FOUND)
    headers = {
        "content-type": "application/zip",
        "content-disposition": _disposition(f"{folder.name}.zip", "attachment"),
        "content-security-policy": _POLICY,
        "cache-control": "no-store",
    }
    if request.method == "HEAD":
        return Response(headers=headers)
    pieces = zip_pieces(folder)
    return _Stream(pieces, pieces.close, status=HTTPStatus.OK, headers=headers)
