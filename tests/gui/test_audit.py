"""The checks themselves: each finds what it is for, and nothing in a page that is in order."""

from collections.abc import Iterator

import pytest
from gui_app import Application
from gui_audit import audit, unnamed_controls
from playwright.sync_api import Browser, Error, Page

GOOD = """<html lang=zh><body style="background:#fff;color:#000;margin:0">
<p>训练 LoRA 模型，见 <a href="#x">这里</a>。</p><label><input type=checkbox> 选项</label>
<button style="min-width:24px;min-height:24px">开始</button><button disabled style="color:#fefefe">停</button>
<div style="overflow-x:auto;width:300px"><div style="width:3000px">表</div></div></body></html>"""


@pytest.fixture(scope="module")
def app(shared_app: Application) -> Application:
    return shared_app


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 390, "height": 900})
    yield page
    page.close()


@pytest.mark.parametrize(
    ("check", "arguments", "body", "finding"),
    [
        ("sideways", (), "<div id=wide style='width:500px;height:9px'></div>", "div#wide"),
        ("smallTargets", (24,), "<button id=b style='width:20px;height:30px;padding:0'></button>", "20 x 30"),
        ("smallTargets", (24,), "<p><a href=#x style='display:block;height:10px'>go</a></p>", "x 10"),
        ("lowContrast", (), "<p id=p style='color:#888'>grey</p>", "p#p"),
        ("lowContrast", (), "<p id=p style='color:#000;opacity:.4'>faint</p>", "p#p"),
        ("lowContrast", (), "<div style='background:rgba(0,0,0,.8)'><p id=p style='color:#333'>x</p></div>", "p#p"),
        ("lowContrast", (), "<input id=i placeholder=hint><style>::placeholder{color:#aaa}</style>", "placeholder"),
        ("latinSentences", (["LoRA"],), "<p>训练 Press the button</p>", "Press the button"),
        ("latinSentences", (["LoRA"],), "<img alt='A picture of it' width=9 height=9>", "A picture of it"),
        ("noFocusMark", (), "<button id=b style='outline:none;border:0'>x</button>", "button#b"),
    ],
)
def test_each_check_finds_what_it_is_for(blank: Page, check: str, arguments: tuple, body: str, finding: str):
    blank.set_content(GOOD)
    blank.keyboard.press("Tab")
    assert audit(blank, check, *arguments) == []
    blank.set_content(GOOD.replace("</body>", body + "</body>"))
    blank.keyboard.press("Tab")
    assert finding in "\n".join(audit(blank, check, *arguments))


def test_controls_without_a_name_are_found(blank: Page):
    blank.set_content(GOOD)
    assert unnamed_controls(blank) == []
    blank.set_content("<button></button><input><a href=#x><img></a>")
    assert len(unnamed_controls(blank)) == 3


def test_what_goes_wrong_in_the_browser_is_seen(empty_page):
    visit = empty_page()
    visit.page.evaluate("console.error('on purpose')")
    # Waited for: a page that is left meanwhile takes its timers with it.
    with visit.page.expect_event("pageerror"):
        visit.page.evaluate("setTimeout(() => { throw new Error('thrown on purpose') })")
    with pytest.raises(Error, match="ERR_"):
        visit.page.goto("http://localhost:1/elsewhere")
    found = "\n".join(visit.problems.left())
    for part in ("console: on purpose", "page error: thrown", "request to another host: http://localhost:1/elsewhere"):
        assert part in found
    visit.allow("")


def test_12_the_page_may_not_call_another_host(empty_page):
    visit = empty_page()
    # What the page may do is known with its headers; it need not be drawn.
    visit.page.goto(f"{visit.app.base}/en/", wait_until="commit")
    answer = "fetch('http://localhost:1/').then(() => 'sent', () => 'held back')"
    assert visit.page.evaluate(answer) == "held back"
    assert "violates" in "\n".join(visit.problems.left())
    visit.allow("Content Security Policy")
