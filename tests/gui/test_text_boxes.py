"""Text that gets into a box by other ways than the keys of its letters counts as typed."""

import time
from collections.abc import Callable

import pytest
from gui_app import Application
from gui_visit import Visit
from playwright.sync_api import CDPSession, Locator, expect


@pytest.fixture
def visit(open_page: Callable[..., Visit]) -> Visit:
    visit: Visit = open_page()
    visit.settings()
    return visit


@pytest.fixture
def keys(visit: Visit) -> CDPSession:
    """The browser's own input, as an input method uses it."""
    return visit.context.new_cdp_session(visit.page)


def test_what_is_pasted_deleted_or_composed_is_kept(app: Application, visit: Visit, keys: CDPSession) -> None:
    box = visit.page.locator("#config-output_name").locator("input, textarea")
    paste(visit, box, "pasted")
    kept(app, "pasted")
    box.press("Backspace")
    kept(app, "paste")
    box.press("Control+z")
    kept(app, "pasted")
    for text in ("mao", "猫"):
        keys.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})
    keys.send("Input.insertText", {"text": "猫"})
    kept(app, "pasted猫")


def paste(visit: Visit, box: Locator, text: str) -> None:
    visit.context.grant_permissions(["clipboard-read", "clipboard-write"])
    box.fill("")
    visit.page.evaluate("(text) => navigator.clipboard.writeText(text)", text)
    box.press("Control+v")
    expect(box).to_have_value(text)


def kept(app: Application, name: str) -> None:
    """Wait until the draft on disk has this name of the run."""
    file = app.workspace.private / "draft.json"
    deadline = time.monotonic() + 30
    while not (file.exists() and f'"output_name": "{name}"' in file.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, name
        time.sleep(0.1)
