"""Room for what is uploaded: asked before a byte is taken in, and given back when the disk fills up on the way."""

import errno
import math
import shutil
from collections.abc import Callable
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

# Left free for what else writes there: runs, their checkpoints, the page's own notes.
_SPARE_BYTES = 64 * 2**20
_GIB = 2**30
_FULL = (errno.ENOSPC, errno.EDQUOT)

Say = Callable[..., str]


class UploadRoom:
    """Knows the folder that Gradio takes uploads into; one for each language's page.

    Args:
        folder: where uploads lie.
        say: the words of a key in the page's language, with its values.
    """

    def __init__(self, folder: Path, say: Say) -> None:
        self._folder = folder
        self._say = say
        self._coming = 0

    def before(self, app: ASGIApp) -> ASGIApp:
        """``app``, but an upload larger than the room there is gets 507 and the sentence that says so."""

        async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
            if not _is_upload(scope):
                await app(scope, receive, send)
            elif refusal := self._refusal(Headers(scope=scope).get("content-length", "")):
                await _read_out(receive)
                await refusal(scope, receive, send)
            else:
                self._coming += 1
                try:
                    await app(scope, receive, send)
                finally:
                    self._coming -= 1

        return dispatch

    def failed(self, request: Request, error: Exception) -> Response:
        """Gradio's handler of an OSError: an upload that filled the disk is thrown away, and that is said."""
        if not isinstance(error, OSError) or error.errno not in _FULL or not _is_upload(request.scope):
            raise error
        if self._coming == 1:
            # Of several at once, nobody knows whose is whose.
            self._sweep()
        return PlainTextResponse(self._say("frame.error.upload_full", free=_gib_down(self._free())), 507)

    def _refusal(self, length: str) -> Response | None:
        size, free = int(length) if length.isdecimal() else 0, self._free()
        if size + _SPARE_BYTES <= free:
            return None
        words = self._say("frame.error.upload_room", needed=_gib_up(size + _SPARE_BYTES), free=_gib_down(free))
        return PlainTextResponse(words, 507)

    def _free(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self._folder).free

    def _sweep(self) -> None:
        """Whole uploads lie in folders of their own; files beside those are unfinished."""
        for path in self._folder.iterdir():
            if path.is_file():
                path.unlink(missing_ok=True)


def _is_upload(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/gradio_api/upload")


async def _read_out(receive: Receive) -> None:
    """To the end: a browser that is still sending does not look at an answer."""
    while (await receive()).get("more_body", False):
        pass


def _gib_up(size: int) -> str:
    return f"{math.ceil(100 * size / _GIB) / 100:.2f}"


def _gib_down(size: int) -> str:
    return f"{math.floor(100 * size / _GIB) / 100:.2f}"
