"""The web application: both pages, the file routes, and the gate in front of all of it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import fastapi
import gradio as gr
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp

from newbie_gui.files import file_routes, workspace_roots
from newbie_gui.localized import TopScripts
from newbie_gui.pages.page import build_page, css, theme, top_script
from newbie_gui.pages.ui import Ui
from newbie_gui.services import Services
from newbie_gui.texts import LANGS, Lang

_COOKIE = "newbie_lang"
_YEAR_S = 365 * 24 * 3600
_QUEUE_POLL_S = 0.1
_NO_API_PAGES: Mapping[str, Any] = MappingProxyType({"docs_url": None, "redoc_url": None, "openapi_url": None})
_MAX_FILE_BYTES = 8 * 2**30


def build_app(services: Services, default_lang: Lang | None) -> ASGIApp:
    """The application without its gate.

    Args:
        default_lang: the language of whoever has chosen none; ``None`` goes by the browser's own.
    """
    app = fastapi.FastAPI(**_NO_API_PAGES)
    app.add_route("/", _front_door(default_lang))
    app.add_route("/lang/{lang}", _switch)
    app.add_route("/favicon.ico", _no_icon)
    app.router.routes.extend(file_routes(workspace_roots(services.workspace, services.run_folder)))
    for lang in LANGS:
        page = build_page(Ui(lang, services))
        page.queue(default_concurrency_limit=8)
        # Gradio looks for work every millisecond, which alone costs 3 % of a core for each page; this is what it
        # does on Windows.
        page._queue.sleep_when_free = _QUEUE_POLL_S
        # Progress bars of its own kind, which no handler here has.
        page._queue.progress_update_sleep_when_free = 1.0
        app = gr.mount_gradio_app(
            app, page, f"/{lang}", footer_links=[], run_history=False, show_error=False, ssr_mode=False,
            enable_monitoring=False, mcp_server=False, pwa=False, max_file_size=_MAX_FILE_BYTES,
            blocked_paths=[str(services.workspace.private)], theme=theme(), css=css(),
            app_kwargs=dict(_NO_API_PAGES),
        )  # fmt: skip
    return TopScripts(app, {f"/{lang}/": top_script(lang) for lang in LANGS})


def chosen_language(request: Request, default_lang: Lang | None) -> Lang:
    """The language chosen earlier, else the one asked for at the start, else the browser's, else English."""
    cookie = request.cookies.get(_COOKIE)
    if cookie in LANGS:
        return cookie
    if default_lang:
        return default_lang
    wanted = [part.split(";")[0].strip().lower() for part in request.headers.get("accept-language", "").split(",")]
    known = (lang for tag in wanted for lang in LANGS if tag.split("-")[0] == lang)
    return next(known, "en")


def _front_door(default_lang: Lang | None) -> Callable[[Request], Response]:
    def front_door(request: Request) -> Response:
        return RedirectResponse(f"/{chosen_language(request, default_lang)}/", 303)

    return front_door


def _switch(request: Request) -> Response:
    lang = request.path_params["lang"]
    if lang not in LANGS:
        return Response(status_code=404)
    answer = RedirectResponse(f"/{lang}/", 303)
    answer.set_cookie(_COOKIE, lang, max_age=_YEAR_S, httponly=True, samesite="strict")
    return answer


def _no_icon(request: Request) -> Response:
    return Response(status_code=204)
