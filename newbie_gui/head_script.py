"""Puts a script at the very top of a page's HTML. Gradio's own ``head`` comes after its code has chosen a language."""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send


class TopScripts:
    """Pure ASGI around ``app``: the HTML of each path in ``scripts`` gets its language and its script.

    Args:
        scripts: path -> (language as HTML names it, text of the script).
    """

    def __init__(self, app: ASGIApp, scripts: Mapping[str, tuple[str, str]]) -> None:
        self._app = app
        self._scripts = scripts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        script = self._scripts.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "GET" else None
        if script is None:
            await self._app(scope, receive, send)
            return
        # The inside must not compress what is going to be changed.
        headers = [(name, value) for name, value in scope["headers"] if name != b"accept-encoding"]
        await self._app({**scope, "headers": headers}, receive, _Rewriting(send, *script))


class _Rewriting:
    """A ``send`` that holds an HTML answer back until it is whole; any other answer passes as it comes."""

    def __init__(self, send: Send, lang: str, script: str) -> None:
        self._send = send
        self._lang = lang
        self._script = script
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_html(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_changed(self._start)

    async def _send_changed(self, start: Message) -> None:
        top = b"<head><script>\n" + self._script.encode() + b"\n</script>"
        lang = b'lang="' + self._lang.encode() + b'"'
        body = self._body.replace(b'lang="en"', lang, 1).replace(b"<head>", top, 1)
        MutableHeaders(scope=start)["content-length"] = str(len(body))
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})


def _is_html(message: Message) -> bool:
    return Headers(scope=message).get("content-type", "").startswith("text/html")
