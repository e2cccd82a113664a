"""What holds on every tab, in both languages, at both widths and in both themes."""

import re
from pathlib import Path

import pytest
from gui_app import Application
from gui_visit import Problems, Visit
from playwright.sync_api import Browser, expect

# Each width, theme and language once; the other pairings take as long and are left to the slow run.
VIEWS = (
    ("en", 1280, "light"),
    ("zh", 390, "dark"),
    pytest.param("en", 390, "light", marks=pytest.mark.slow),
    pytest.param("zh", 1280, "dark", marks=pytest.mark.slow),
)

# Latin words that stay as they are in Chinese: names of things, of files and formats. Regular expressions.
KEPT = (
    "[A-Z0-9]{2,}[A-Z0-9-]*", "[A-Z]?[a-z]*[A-Z][A-Za-z0-9]*", "Newbie", "Diffusers", "Adafactor", "Prodigy", "Gemma",
    "Jina", "Lumina", "Next", "Gradio", "Chromium", "English", "Save", "Lion", "sigmoid", "uniform", "cosine", "linear",
    "constant", "safetensors", "torch", "kohya", "bf", "fp", "nf", "rank", "alpha", "epoch", "dropout", "token", "min",
)  # fmt: skip


@pytest.fixture(scope="module")
def app(shared_app: Application) -> Application:
    return shared_app


@pytest.mark.parametrize(("lang", "width", "theme"), VIEWS, ids=lambda value: str(value))
def test_38_39_every_tab_can_be_read_reached_and_hit(open_page, lang: str, width: int, theme: str):
    visit: Visit = open_page(lang, width=width, theme=theme)
    assert visit.page.evaluate("document.documentElement.lang") == {"en": "en", "zh": "zh-CN"}[lang]
    assert visit.page.evaluate("document.body.classList.contains('dark')") == (theme == "dark")
    found = []
    for tab in visit.tabs():
        visit.tab(tab)
        visit.unfold(tab)
        found += [f"{tab}: {finding}" for finding in findings(visit, lang, width)]
    assert not found, "\n" + "\n".join(found)


def findings(visit: Visit, lang: str, width: int) -> list[str]:
    checks = [visit.audit("sideways"), visit.audit("smallTargets", 24), visit.audit("lowContrast")]
    if lang == "zh":
        checks.append(visit.audit("latinSentences", list(KEPT)))
    if width > 1000:
        # The slow ones, which do not depend on the width. After a key the browser shows where the focus is.
        visit.page.keyboard.press("Shift")
        checks += [visit.unnamed_controls(), visit.audit("noFocusMark")]
    return [finding for check in checks for finding in check]


@pytest.mark.parametrize(("lang", "said"), [("en", "Complete"), ("zh", "完成")])
def test_screen_readers_hear_words_and_no_keys(open_page, lang: str, said: str):
    visit: Visit = open_page(lang)
    # It stands there for a moment only.
    heard = visit.page.evaluate("""() => new Promise((resolve) => {
        const heard = () => [...document.querySelectorAll(".sr-only[role=status]")].map((status) => status.textContent);
        const ended = () => heard().find((text) => /complete|完成/i.test(text));
        new MutationObserver(() => ended() && resolve(ended())).observe(
            document, { childList: true, characterData: true, subtree: true });
        setTimeout(() => resolve(""), 15000);
    })""")
    assert heard == said


def test_what_is_typed_without_a_connection_is_shown_after_it(open_page):
    visit: Visit = open_page()
    visit.allow("ERR_INTERNET_DISCONNECTED")
    visit.allow("Failed to fetch")
    prompts = visit.settings().locator("#config-sample_prompts textarea")
    visit.page.context.set_offline(True)
    prompts.fill("typed meanwhile")
    expect(visit.page.locator(".toast-body")).to_contain_text("Connection to the server was lost", timeout=15_000)
    # What Gradio asks before it reloads the page comes last, as on a busy machine: after answers to other questions.
    visit.page.route("**/app_id", lambda _: None)
    visit.page.wait_for_timeout(3000)
    visit.page.context.set_offline(False)
    assert visit.page.evaluate("fetch(location.href).then((answer) => answer.ok)")
    visit.page.unroute("**/app_id")
    lost = visit.page.locator("#page-typed")
    expect(lost.locator("textarea")).to_have_value("typed meanwhile", timeout=15_000)
    expect(lost).to_contain_text("Sample prompts")
    lost.get_by_role("button").click()
    visit.reload()
    expect(lost).to_have_count(0)


def test_a_page_with_an_upload_on_its_way_is_not_left_unasked(open_page, tmp_path: Path):
    visit: Visit = open_page()
    page = visit.page
    visit.tab("dataset")
    # A click, or the browser does not take the page for one that is used.
    page.get_by_role("tab").first.click()
    page.route("**/gradio_api/upload*", lambda _: None)
    (tmp_path / "a.png").write_bytes(b"picture")
    with page.expect_request("**/gradio_api/upload*"):
        page.locator("#dataset-files input[type=file]").set_input_files(str(tmp_path / "a.png"))
    with page.expect_event("dialog") as asked:
        page.evaluate("setTimeout(() => location.reload())")
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    expect(page.locator("#tab-dataset")).to_be_visible()


def test_39_the_keyboard_walks_through_the_page(kept_page: Visit):
    visit = kept_page
    walked = []
    for _ in range(60):
        visit.page.keyboard.press("Tab")
        walked.append(visit.page.evaluate("document.activeElement.id || document.activeElement.innerText"))
        if f"tab-{visit.tabs()[0]}-button" in walked:
            break
    assert "中文" in walked and "guide-demo" in walked and f"tab-{visit.tabs()[0]}-button" in walked, walked


def test_the_arrow_keys_choose_in_a_group_of_radio_buttons(kept_page: Visit):
    page = kept_page.page
    kept_page.tab("disk")
    radios = page.get_by_role("group", name="What to clean up").get_by_role("radio")
    question = page.locator("#disk-question")
    radios.nth(1).check()
    for chosen in (2, 3):
        # What another choice takes back: Gradio's event has reached the server.
        page.locator("#disk-clean").click()
        expect(question).to_be_visible()
        radios.nth(chosen - 1).focus()
        page.keyboard.press("ArrowDown")
        expect(radios.nth(chosen)).to_be_focused()
        expect(page.locator("#disk-part input:checked")).to_have_value(("thumbnails", "uploads")[chosen - 2])
        expect(question).to_be_hidden()
    # One stop of the Tab key: the next one is behind the group.
    page.keyboard.press("Tab")
    expect(page.locator("#disk-clean")).to_be_focused()
    assert len(set(radios.evaluate_all("(all) => all.map((one) => one.name)"))) == 1


def test_a_question_gets_the_focus_and_gives_it_back(kept_page: Visit):
    page = kept_page.page
    kept_page.tab("disk")
    page.locator("#disk-part input[value=trash]").check()
    page.locator("#disk-clean").evaluate("(button) => button.scrollIntoView({ block: 'end' })")
    page.locator("#disk-clean").press("Enter")
    question = page.get_by_role("group", name="Empty the trash for good. This cannot be undone.")
    expect(question).to_be_focused()
    expect(page.locator("#disk-cancel")).to_be_in_viewport(ratio=0.9)
    for button in ("sure", "cancel"):
        page.keyboard.press("Tab")
        expect(page.locator(f"#disk-{button}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(question).to_be_hidden()
    expect(page.locator("#disk-clean")).to_be_focused()


def test_a_reload_comes_back_to_the_same_tab(kept_page: Visit):
    visit = kept_page
    last = visit.tabs()[-1]
    visit.page.locator(f"#tab-{last}-button").click()
    visit.reload()
    expect(visit.page.locator(f"#tab-{last}")).to_be_visible()


def test_15_nine_tabs_all_keep_ticking(kept_page: Visit):
    visit = kept_page
    # A browser keeps six connections to one server: pages that held one for good would leave none to the seventh.
    pages = [visit.page, *visit.new_pages(8)]
    counts = [0] * len(pages)
    for number, page in enumerate(pages):

        def count(response, number=number):
            counts[number] += response.ok and "/gradio_api/run/" in response.url

        page.on("response", count)
    for _ in range(300):
        if min(counts) >= 2:
            break
        visit.page.wait_for_timeout(100)
    for page in pages[1:]:
        page.close()
    assert min(counts) >= 2, counts


@pytest.mark.parametrize(("locale", "lang"), [("zh-CN", "zh"), ("de-DE", "en")])
def test_the_browsers_language_decides_until_another_one_is_chosen(empty_page, locale: str, lang: str):
    visit: Visit = empty_page(locale=locale)
    visit.allow_leaving()
    visit.page.goto(visit.app.base + "/", wait_until="commit")
    expect(visit.page).to_have_url(re.compile(f"/{lang}/"))
    other, name = {"en": ("zh", "中文"), "zh": ("en", "English")}[lang]
    visit.tab("train")
    visit.page.get_by_role("link", name=name, exact=True).click()
    expect(visit.page).to_have_url(re.compile(f"/{other}/#train"))
    visit.page.goto(visit.app.base + "/", wait_until="commit")
    expect(visit.page).to_have_url(re.compile(f"/{other}/"))


def test_a_stranger_sees_what_to_do_and_comes_in_by_the_address(app: Application, problems: Problems, browser: Browser):
    stranger = browser.new_page()
    stranger.goto(app.base + "/en/")
    expect(stranger.get_by_role("heading", name="open the address that the launcher printed")).to_be_visible()
    expect(stranger.get_by_text("请打开启动器窗口中显示的地址")).to_be_visible()
    stranger.goto(app.address)
    expect(stranger.get_by_role("tab").first).to_be_visible()
    stranger.close()


def test_an_open_page_goes_on_after_the_server_was_killed_and_started_again(kept_page: Visit, app: Application):
    visit = kept_page
    visit.allow("Failed to load resource")
    visit.allow("fetch")
    port = int(app.base.rpartition(":")[2])
    app.stop(kill=True)
    app.start(port=port)
    banner = visit.page.get_by_role("alert").filter(has_text="The trainer was started anew.")
    expect(banner).to_be_visible()
    # The launcher opens the new address, in whatever tab; that brings the new token to the old one too.
    visit.context.new_page().goto(app.address)
    with visit.page.expect_response(lambda answer: "/gradio_api/run/" in answer.url and answer.ok):
        pass
    expect(banner).to_have_count(0)
