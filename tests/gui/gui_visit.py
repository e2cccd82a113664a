"""One browser window on the app, and the watch over what goes wrong in it."""

from typing import Any
from urllib.parse import urlsplit

from gui_app import Application
from gui_audit import audit, unnamed_controls
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, WebError, expect

TIMEOUT_MS = 60_000


class Problems:
    """Collected while a test runs; `allow` takes out those it causes on purpose."""

    def __init__(self) -> None:
        self._found: list[str] = []
        self._allowed: list[str] = []

    def add(self, problem: str) -> None:
        self._found.append(problem)

    def allow(self, part: str) -> None:
        self._allowed.append(part)

    def left(self) -> list[str]:
        return [found for found in self._found if not any(part in found for part in self._allowed)]


class Visit:
    """A context of its own (cookies, language, width, theme) and the page in it."""

    def __init__(self, context: BrowserContext, app: Application, lang: str, problems: Problems) -> None:
        self.context = context
        self.app = app
        self.lang = lang
        self.problems = problems
        context.set_default_timeout(TIMEOUT_MS)
        expect.set_options(timeout=TIMEOUT_MS)
        context.on("console", self._console)
        context.on("weberror", self._error)
        context.on("request", self._request)
        self.page: Page = context.new_page()

    def enter(self) -> None:
        """Get the cookie from the address that the launcher opens.

        The browser follows no redirect for it: that page would be loaded only to be left at once.
        """
        assert self.context.request.get(self.app.address, max_redirects=0).status == 303

    def open(self) -> None:
        """Get in and open the page of the visit's language."""
        self.enter()
        self.goto()

    def goto(self, tab: str = "") -> None:
        """Open the page anew, on a tab where one is named."""
        self.allow_leaving()
        # From the same page a browser goes to another #tab without loading anything.
        self.page.goto("about:blank")
        self.page.goto(f"{self.app.base}/{self.lang}/" + (f"#{tab}" if tab else ""))
        self.wait_until_drawn()

    def reload(self) -> None:
        self.allow_leaving()
        self.page.reload()
        self.wait_until_drawn()

    def new_pages(self, count: int) -> list[Page]:
        """More tabs of the same browser, loaded side by side: those that are there take part of the machine."""
        pages = [self.context.new_page() for _ in range(count)]
        for page in pages:
            page.goto(f"{self.app.base}/{self.lang}/", wait_until="commit")
        for page in pages:
            expect(page.get_by_role("tab").first).to_be_visible()
        return pages

    def wait_until_drawn(self) -> None:
        expect(self.page.get_by_role("tab").first).to_be_visible()

    def settings(self) -> Locator:
        """Go to the Settings tab and wait until its form is filled: what is typed before is overwritten."""
        panel = self.tab("config")
        self.page.wait_for_function("document.querySelector('#config-nudge textarea, #config-nudge input')?.value")
        return panel

    def tabs(self) -> list[str]:
        """Names of the page's own tabs, in order ("dataset", "disk" ...)."""
        ids = self.page.evaluate("[...document.querySelectorAll('button[role=tab][id^=tab-]')].map((b) => b.id)")
        return list(dict.fromkeys(name.removeprefix("tab-").removesuffix("-button") for name in ids))

    def tab(self, name: str) -> Locator:
        """Go to a tab; gives its panel."""
        self.page.evaluate("(name) => { location.hash = name }", name)
        expect(self.page.locator(f"#tab-{name}-button")).to_have_attribute("aria-selected", "true")
        panel = self.page.locator(f"#tab-{name}")
        expect(panel).not_to_have_css("display", "none")
        return panel

    def wait_for_text(self, text: str, *, inside: str = "body") -> Locator:
        """Wait until the text is to be seen; gives its element."""
        found = self.page.locator(inside).get_by_text(text).first
        expect(found).to_be_visible()
        return found

    def audit(self, check: str, *arguments: Any) -> list[str]:
        """Run one check of audit.js on what is to be seen now; gives one line a finding."""
        return audit(self.page, check, *arguments)

    def unnamed_controls(self) -> list[str]:
        return unnamed_controls(self.page)

    def unfold(self, tab: str) -> None:
        """Open what is folded in a tab: settings for experts, notes."""
        # By script: a hundred clicks through the browser's own checks take a minute on a busy machine.
        self.page.evaluate(
            "(tab) => document.querySelectorAll(`#tab-${tab} details`).forEach((x) => { x.open = true })", tab
        )
        closed = "(tab) => [...document.querySelectorAll(`#tab-${tab} button.label-wrap:not(.open)`)]"
        click = f"(tab) => {{ const all = ({closed})(tab); all.forEach((x) => x.click()); return all.length === 0 }}"
        self.page.wait_for_function(click, arg=tab, polling=100)

    def allow(self, part: str) -> None:
        """Do not fail for problems that contain this text: the test causes them."""
        self.problems.allow(part)

    def allow_leaving(self) -> None:
        """A page that is left while answers are on their way complains about that."""
        self.allow("AbortError: signal is aborted")
        self.allow("Connection errored out")

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            place = message.location
            self.problems.add(f"console: {message.text} ({place.get('url')}:{place.get('lineNumber')})")

    def _error(self, error: WebError) -> None:
        self.problems.add(f"page error: {error.error}")

    def _request(self, request: Request) -> None:
        url = urlsplit(request.url)
        if url.scheme not in ("data", "blob") and f"{url.scheme}://{url.netloc}" != self.app.base:
            self.problems.add(f"request to another host: {request.url}")
