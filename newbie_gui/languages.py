"""Which language a person gets, and each language's page: built when it is first asked for."""

import asyncio
import locale
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import fastapi
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from newbie_gui.remember import Remembered
from newbie_gui.texts import LANGS, Lang

_COOKIE = "newbie_lang"
_LAST = "lang"
_YEAR_S = 365 * 24 * 3600


class LazyPages:
    """The page of each language, an ASGI application below ``/LANG/``.

    A page takes most of a second to build, and hardly anyone reads both. Building holds the event loop up, on purpose:
    Gradio notes in a global which page is being built, so nothing else of it may run meanwhile.

    Args:
        build: makes a language's page, with the lifespan that it needs.
        first: built at once.
    """

    def __init__(self, build: Callable[[Lang], fastapi.FastAPI], first: Lang) -> None:
        self._build = build
        self._built = {first: build(first)}
        self._running: dict[Lang, fastapi.FastAPI] = {}
        self._lifespans = AsyncExitStack()
        self._starting = asyncio.Lock()

    @asynccontextmanager
    async def lifespan(self, app: Any) -> AsyncIterator[None]:
        """For the server's application: starts what is built, ends all that was started."""
        async with self._lifespans:
            for lang in self._built:
                await self._page(lang)
            yield

    def in_front_of(self, rest: ASGIApp) -> ASGIApp:
        """An application that answers below ``/LANG/`` and leaves every other request to ``rest``."""

        async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
            name = scope.get("path", "").removeprefix("/").split("/")[0]
            app: ASGIApp = await self._page(name) if name in LANGS else rest
            await app(scope, receive, send)

        return dispatch

    async def _page(self, lang: Lang) -> fastapi.FastAPI:
        async with self._starting:
            if lang not in self._running:
                page = self._built.get(lang) or self._build(lang)
                await self._lifespans.enter_async_context(page.router.lifespan_context(page))
                self._running[lang] = page
        return self._running[lang]


def language_routes(default: Lang | None, remember: Remembered) -> list[Route]:
    """``/`` leads to the page in the person's language, ``/lang/LANG`` switches to another for a year."""

    def note(lang: Lang) -> None:
        with suppress(OSError):  # a full disk must not keep the page away that can empty it
            remember.set(_LAST, lang)

    def front_door(request: Request) -> Response:
        lang = chosen_language(request, default)
        note(lang)
        return RedirectResponse(f"/{lang}/", 303)

    def switch(request: Request) -> Response:
        lang = request.path_params["lang"]
        if lang not in LANGS:
            return Response(status_code=404)
        note(lang)
        answer = RedirectResponse(f"/{lang}/", 303)
        answer.set_cookie(_COOKIE, lang, max_age=_YEAR_S, httponly=True, samesite="strict")
        return answer

    return [Route("/", front_door), Route("/lang/{lang}", switch)]


def chosen_language(request: Request, default: Lang | None) -> Lang:
    """The language chosen earlier, else the one asked for at the start, else the browser's, else English."""
    cookie = request.cookies.get(_COOKIE)
    if cookie in LANGS:
        return cookie
    if default:
        return default
    wanted = [_weighed(part) for part in request.headers.get("accept-language", "").split(",")]
    by_weight = sorted(wanted, key=lambda tag_weight: -tag_weight[1])
    known = (lang for tag, weight in by_weight if weight for lang in LANGS if tag.split("-")[0] == lang)
    return next(known, "en")


def _weighed(part: str) -> tuple[str, float]:
    """(tag, weight) of one entry of Accept-Language: "zh-CN;q=0.9"; weight 0 means not wanted."""
    tag, _, weight = part.lower().replace(" ", "").partition(";q=")
    return tag, float(weight) if re.fullmatch(r"[01](\.\d*)?", weight) else 1.0


def likely_language(default: Lang | None, remember: Remembered) -> Lang:
    """The language in which the page will most likely be opened: asked for, else opened last, else this machine's."""
    last = remember.get(_LAST)
    if default or last in LANGS:
        return default or last
    # "zh_CN", on Windows "Chinese (Simplified)_China".
    return "zh" if (locale.getlocale()[0] or "").lower().startswith(("zh", "chinese")) else "en"
