"""Room for what is uploaded: asked before a byte is taken in, and given back when it does not arrive whole."""

import math
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from newbie_gui.formatting import GIB, MIB
from trainer_core.contracts.fsutil import is_disk_full

# Left free for what else writes there: runs, their checkpoints, the page's own notes.
_SPARE_BYTES = 64 * MIB

Say = Callable[..., str]


class UploadRoom:
    """Knows the folder that Gradio takes uploads into, and what is on its way there; one for all pages."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._coming: list[int] = []
        self._cut_off = False

    def before(self, app: ASGIApp, say: Say) -> ASGIApp:
        """``app``, but an upload larger than the room there is gets 507 and the sentence that says so.

        say: the words of a key in the page's language, with its values.
        """

        async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
            if not _is_upload(scope):
                await app(scope, receive, send)
                return
            size = _stated_size(scope)
            if refusal := self._refusal(size, say):
                await _read_out(receive)
                await refusal(scope, receive, send)
                return
            self._coming.append(size)
            try:
                await app(scope, receive, send)
            except ClientDisconnect:
                # A page left or reloaded on the way: nobody waits for an answer.
                self._cut_off = True
            finally:
                self._coming.remove(size)
                self._sweep()

        return dispatch

    def failed(self, say: Say, request: Request, error: Exception) -> Response:
        """The answer to an OSError of Gradio's: an upload that filled the disk is thrown away, and that is said."""
        if not is_disk_full(error) or not _is_upload(request.scope):
            raise error
        self._cut_off = True
        return PlainTextResponse(say("frame.error.upload_full"), 507)

    def _refusal(self, size: int, say: Say) -> Response | None:
        self._folder.mkdir(parents=True, exist_ok=True)
        needed, free = size + sum(self._coming) + _SPARE_BYTES, shutil.disk_usage(self._folder).free
        if needed <= free:
            return None
        words = say("frame.error.upload_room", needed=_gib_up(needed), free=_gib_down(free))
        return PlainTextResponse(words, 507)

    def _sweep(self) -> None:
        """After one was cut off and once nothing is on its way: whole uploads lie in folders of their own, files beside
        those are unfinished.
        """
        if not self._cut_off or self._coming:
            return
        self._cut_off = False
        for path in self._folder.iterdir():
            if path.is_file():
                with suppress(OSError):
                    path.unlink()


def _stated_size(scope: Scope) -> int:
    """Bytes of the body, 0 where it comes without its length in front."""
    stated = Headers(scope=scope).get("content-length", "")
    return int(stated) if stated.isdecimal() and len(stated) < 20 else 0


def _is_upload(scope: Scope) -> bool:
    return scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/gradio_api/upload")


async def _read_out(receive: Receive) -> None:
    """To the end: a browser that is still sending does not look at an answer."""
    while (await receive()).get("more_body", False):
        pass


def _gib_up(size: int) -> str:
    return f"{math.ceil(100 * size / GIB) / 100:.2f}"


def _gib_down(size: int) -> str:
    return f"{math.floor(100 * size / GIB) / 100:.2f}"
