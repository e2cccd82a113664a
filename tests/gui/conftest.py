"""The browser harness. `open_page("zh", width=390, theme="dark")` gives a `Visit` of the running app; `kept_page` is
one that the tests of a module use in turn.

Whatever goes wrong meanwhile fails the test at its end: a console error, an error of the page's script, a request to
another host, a traceback in the server's log, a name looked up. What a test causes on purpose it says with
`visit.allow("part of the message")`.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from gui_app import Application
from gui_visit import Problems, Visit
from playwright.sync_api import Browser, sync_playwright

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
# The address bar's suggestions are pages of their own, a second of work for each window that nobody types into.
# The browser heeds the last list only, so Playwright's stands here as well, as far as it touches pages and the network.
WITHOUT = (
    "WebUIOmniboxPopup", "WebUIOmniboxAimPopup",
    "AimEnabled", "AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades",
    "MediaRouter", "NetworkTimeServiceQuerying", "OptimizationHints", "PaintHolding", "PreconnectToSearch",
    "ThirdPartyStoragePartitioning",
)  # fmt: skip
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
    "--no-proxy-server",
    f"--disable-features={','.join(WITHOUT)}",
)


def find_chromium() -> str | None:
    """The browser to use: NEWBIE_CHROMIUM, else the first one on the search path."""
    told = os.environ.get("NEWBIE_CHROMIUM")
    if told:
        return shutil.which(told)
    found = (shutil.which(name) for name in (*CHROMIUMS, "/usr/bin/chromium"))
    return next((path for path in found if path), None)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the browser. Without one the test is skipped, or fails where NEWBIE_REQUIRE_CHROMIUM=1 asks for it."""
    path = find_chromium()
    if path is None:
        reason = "no Chromium found: install chromium (or Chrome), or put its path into NEWBIE_CHROMIUM"
        if os.environ.get("NEWBIE_REQUIRE_CHROMIUM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.fixture(scope="package")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield running
        running.close()


@pytest.fixture(scope="package")
def start_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Application]]:
    """Call it with further arguments of app.py, or ``variables`` of its environment: a running app with an empty
    workspace. All end with the last test."""
    started: list[Application] = []

    def start(*arguments: str, variables: Mapping[str, str] | None = None) -> Application:
        application = Application(tmp_path_factory.mktemp("app"), *arguments, variables=variables)
        started.append(application)
        application.start()
        return application

    yield start
    for application in started:
        application.close()


@pytest.fixture(scope="package")
def shared_app(chromium: str, start_app: Callable[..., Application]) -> Application:
    """For modules that change nothing in the workspace: starting one takes seconds. They say so with their own `app`.

    ``chromium`` is asked for first: without a browser nothing is started.
    """
    return start_app()


@pytest.fixture(scope="module")
def app(chromium: str, start_app: Callable[..., Application]) -> Iterator[Application]:
    """The app of this module alone."""
    application = start_app()
    yield application
    application.close()


@pytest.fixture
def problems(app: Application) -> Iterator[Problems]:
    """What went wrong during the test; looked at when it ends."""
    offset = len(app.log_file.read_bytes())
    seen = len(app.foreign_lookups())
    found = Problems()
    yield found
    log = app.log_text(offset)
    if "Traceback" in log or "ERROR" in log:
        found.add(f"server log: {log}")
    for lookup in app.foreign_lookups()[seen:]:
        found.add(f"the server asked for another machine: {lookup}")
    assert not found.left(), "\n".join(found.left())


def come_in(
    browser: Browser, app: Application, problems: Problems, lang: str = "en", *, width: int = 1280,
    theme: str = "light", locale: str | None = None,
) -> Visit:  # fmt: skip
    """A browser window that is let in and shows nothing yet."""
    context = browser.new_context(
        viewport={"width": width, "height": 900},
        color_scheme=theme,  # type: ignore[arg-type]
        locale=locale or {"en": "en-US", "zh": "zh-CN"}[lang],
        reduced_motion="reduce",
        accept_downloads=True,
    )
    visit = Visit(context, app, lang, problems)
    visit.enter()
    return visit


@pytest.fixture
def empty_page(browser: Browser, app: Application, problems: Problems) -> Iterator[Callable[..., Visit]]:
    """As `open_page`, but the page is still to be opened: one that is not needed costs seconds."""
    visits: list[Visit] = []

    def open_one(lang: str = "en", **more: Any) -> Visit:
        visits.append(come_in(browser, app, problems, lang, **more))
        return visits[-1]

    yield open_one
    for visit in visits:
        visit.context.close()


@pytest.fixture
def open_page(empty_page: Callable[..., Visit]) -> Callable[..., Visit]:
    """Call it with a language, and ``width`` (pixels), ``theme`` ("light", "dark"), ``locale`` of the browser."""

    def open_one(lang: str = "en", **more: Any) -> Visit:
        visit = empty_page(lang, **more)
        visit.goto()
        return visit

    return open_one


@pytest.fixture(scope="module")
def kept_visit(browser: Browser, app: Application) -> Iterator[Visit]:
    opening = Problems()
    visit = come_in(browser, app, opening)
    visit.goto()
    yield visit
    visit.context.close()
    # Until the first test took it over.
    assert not opening.left(), "\n".join(opening.left())


@pytest.fixture
def kept_page(request: pytest.FixtureRequest, kept_visit: Visit, problems: Problems) -> Iterator[Visit]:
    """The module's own English page, as the test before left it: to open one takes as long as most tests.

    After a test that failed it is loaded anew.
    """
    kept_visit.problems = problems
    failed = request.session.testsfailed
    yield kept_visit
    if request.session.testsfailed > failed:
        kept_visit.goto()


@pytest.fixture(scope="session")
def shots() -> Path:
    """Where tests put screenshots for a person to look at: build/gui."""
    folder = Path(__file__).resolve().parents[2] / "build" / "gui"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
