"""The web application: both pages, the file routes, and the gate in front of all of it."""

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import fastapi
import gradio as gr
from gradio.route_utils import FnIndexInferError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

from newbie_gui.files import file_routes, workspace_roots
from newbie_gui.formatting import GIB
from newbie_gui.head_script import TopScripts
from newbie_gui.languages import LazyPages, language_routes, likely_language
from newbie_gui.pages.page import build_page, css, theme, top_script, words_for_gradio
from newbie_gui.pages.ui import Ui
from newbie_gui.services import Services
from newbie_gui.texts import LANGS, Lang
from newbie_gui.uploads import UploadRoom

_QUEUE_POLL_S = 0.1
_NO_API_PAGES: Mapping[str, Any] = MappingProxyType({"docs_url": None, "redoc_url": None, "openapi_url": None})
_MAX_FILE_BYTES = 8 * GIB


def build_app(services: Services, default_lang: Lang | None) -> ASGIApp:
    """The application without its gate.

    Args:
        default_lang: the language of whoever has chosen none; ``None`` goes by the browser's own.
    """
    room = UploadRoom(services.workspace.uploads)
    pages = LazyPages(lambda lang: _page_app(services, lang, room), likely_language(default_lang, services.remember))
    app = fastapi.FastAPI(lifespan=pages.lifespan, **_NO_API_PAGES)
    app.router.routes.extend(language_routes(default_lang, services.remember))
    app.add_route("/favicon.ico", _no_icon)
    app.router.routes.extend(file_routes(workspace_roots(services.workspace, services.run_folder)))
    return TopScripts(pages.in_front_of(app), {f"/{lang}/": top_script(lang) for lang in LANGS})


def _page_app(services: Services, lang: Lang, room: UploadRoom) -> fastapi.FastAPI:
    ui = Ui(lang, services)
    page = build_page(ui)
    # Gradio looks for work every millisecond, which alone costs 3 % of a core for each page; this is what it does on
    # Windows.
    page._queue.sleep_when_free = _QUEUE_POLL_S
    # Progress bars of its own kind, which no handler here has.
    page._queue.progress_update_sleep_when_free = 1.0
    app = fastapi.FastAPI(**_NO_API_PAGES)
    app.add_middleware(partial(room.before, say=ui.t))
    handlers = {KeyError: _no_event, FnIndexInferError: _no_event, OSError: partial(room.failed, ui.t)}
    return gr.mount_gradio_app(
        app, page, f"/{lang}", footer_links=[], run_history=False, show_error=False,
        ssr_mode=False, enable_monitoring=False, mcp_server=False, pwa=False, max_file_size=_MAX_FILE_BYTES,
        blocked_paths=[str(services.workspace.private)], theme=theme(), css=css(),
        i18n=words_for_gradio(ui),
        app_kwargs={**_NO_API_PAGES, "exception_handlers": handlers},
    )  # fmt: skip


def _no_event(request: Request, error: Exception) -> Response:
    """Gradio looks an event up by whatever number or name it is given, and fails where it has none."""
    if request.method != "POST" or "/gradio_api/" not in request.url.path:
        raise error
    return JSONResponse({"error": "There is no such event."}, 404)


def _no_icon(request: Request) -> Response:
    return Response(status_code=204)
