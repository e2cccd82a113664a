"""The Dataset tab in a real browser: many files at once, finding, the keyboard, edits of all, advice."""

import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from gui_app import Application
from gui_visit import Visit
from PIL import Image
from playwright.sync_api import expect

# More files than one upload request may carry.
MANY = 510
LARGE = 5000


def draw(folder: Path, name: str, caption: str, shade: int) -> list[Path]:
    """A picture unlike all others, and its caption."""
    image, text = folder / f"{name}.png", folder / f"{name}.txt"
    Image.new("RGB", (64, 64), (shade % 256, shade // 256, 90)).save(image)
    text.write_text(caption, encoding="utf-8")
    return [image, text]


def choose(visit: Visit, name: str) -> None:
    """Also where the page shows it already: what is filtered next must stay so."""
    visit.tab("dataset")
    field = visit.page.locator("#dataset-choose input")
    expect(field).not_to_have_value("", timeout=60_000)
    field.click()
    visit.page.get_by_role("option", name=name).click()


def counted(visit: Visit, number: int) -> None:
    shown = re.compile(rf"\b{number} of ")
    expect(visit.page.locator("#dataset-count")).to_have_text(shown, timeout=120_000)


@pytest.fixture(scope="module")
def cats(app: Application) -> Path:
    """Thirty pictures; the last has no caption."""
    folder = app.workspace.datasets / "cats 猫" / "3_cat"
    folder.mkdir(parents=True)
    for number in range(30):
        draw(folder, f"p{number:02}", f"1girl, tag{number % 3}, number {number}", 999 * number)
    (folder / "p29.txt").unlink()
    return folder


def test_many_files_are_dropped_at_once(app: Application, open_page: Callable[..., Visit], tmp_path: Path) -> None:
    files = [file for n in range(MANY) for file in draw(tmp_path, f"画 {n:04}", f"1girl, number {n}", n)]
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\nno picture")
    visit = open_page()
    visit.tab("dataset")
    visit.page.locator("#dataset-files input[type=file]").set_input_files([str(file) for file in [*files, broken]])
    status = visit.page.locator("#dataset-status")
    expect(status).to_contain_text(f"{MANY} pictures, {MANY} captions", timeout=180_000)
    expect(status).to_contain_text("broken.png: is damaged")
    counted(visit, MANY)
    kept = sorted(file.name for file in app.workspace.datasets.rglob("画*"))
    assert len(kept) == 2 * MANY and kept[0] == "画 0000.png"


def test_pictures_are_found_and_edited_with_the_keyboard(cats: Path, kept_page: Visit) -> None:
    visit = kept_page
    page = visit.page
    choose(visit, "cats 猫")
    # As when an upload begins: the page notes where it is to go.
    page.locator("#dataset-files input[type=file]").dispatch_event("change")
    expect(page.locator("#dataset-into textarea")).to_have_value("cats 猫")
    counted(visit, 30)
    page.locator("#dataset-tag input, #dataset-tag textarea").fill("tag1")
    counted(visit, 10)
    # The count and the pictures come one after the other.
    expect(page.locator("#dataset-grid img")).to_have_count(10)
    page.locator("#dataset-grid button").first.click()
    caption = page.locator("#dataset-caption textarea")
    expect(caption).to_have_value("1girl, tag1, number 1")
    expect(caption).to_be_focused()
    expect(page.locator("#dataset-facts")).to_contain_text("512")
    caption.fill("1girl, tag1, by the keyboard")
    page.keyboard.press("Control+Enter")
    # Before the answer is here.
    page.keyboard.type(", and quick")
    expect(caption).to_have_value("1girl, tag1, number 4, and quick")
    page.keyboard.press("PageUp")
    expect(caption).to_have_value("1girl, tag1, by the keyboard")
    assert (cats / "p01.txt").read_text(encoding="utf-8") == "1girl, tag1, by the keyboard"
    caption.fill("1girl, tag1, and left")
    page.locator("#dataset-search input, #dataset-search textarea").focus()
    expect(page.locator("#dataset-kept textarea")).not_to_have_value("")
    assert (cats / "p01.txt").read_text(encoding="utf-8") == "1girl, tag1, and left"
    caption.fill("1girl, tag1, and closed")
    page.keyboard.press("Escape")
    expect(caption).not_to_be_visible()
    assert (cats / "p01.txt").read_text(encoding="utf-8") == "1girl, tag1, and closed"
    page.locator("#dataset-clear").click()
    counted(visit, 30)
    page.locator("#dataset-show input").click()
    page.get_by_role("option", name="Without caption").click()
    counted(visit, 1)
    page.locator("#dataset-clear").click()
    counted(visit, 30)


def test_all_captions_are_changed_and_changed_back(cats: Path, kept_page: Visit) -> None:
    visit = kept_page
    page = visit.page
    choose(visit, "cats 猫")
    counted(visit, 30)
    before = (cats / "p05.txt").read_text(encoding="utf-8")
    page.locator("#dataset-bulk > button").click()
    page.locator("#dataset-bulk-text input, #dataset-bulk-text textarea").fill("nekorin")
    page.locator("#dataset-bulk-preview").click()
    expect(page.locator("#dataset-bulk-view")).to_contain_text(f"nekorin, {before}"[:20])
    page.locator("#dataset-bulk-apply").click()
    expect(page.locator("#dataset-bulk-view")).to_contain_text("2")
    expect(page.locator("#dataset-bulk-undo")).to_be_enabled()
    assert (cats / "p05.txt").read_text(encoding="utf-8") == f"nekorin, {before}"
    page.locator("#dataset-bulk-undo").click()
    expect(page.locator("#dataset-bulk-undo")).to_be_disabled()
    assert (cats / "p05.txt").read_text(encoding="utf-8") == before


def test_the_advice_goes_into_the_settings(cats: Path, kept_page: Visit) -> None:
    visit = kept_page
    choose(visit, "cats 猫")
    counted(visit, 30)
    visit.settings()
    rank = visit.page.locator("#config-lora_rank input").first
    epochs = visit.page.locator("#config-num_epochs input").first
    epochs.fill("77")
    visit.tab("dataset")
    visit.page.locator("#dataset-apply").click()
    visit.tab("config")
    expect(epochs).not_to_have_value("77")
    assert int(rank.input_value()) > 0


@pytest.mark.slow
def test_five_thousand_pictures_in_time(
    app: Application, open_page: Callable[..., Visit], record_figure: Callable[[str, float], None]
) -> None:
    """Real files; the same few pictures under many names, so that making them does not take the time."""
    folder = app.workspace.datasets / "large"
    folder.mkdir(parents=True)
    for number in range(LARGE):
        target = folder / f"p{number:04}.png"
        if number < 4:
            Image.effect_noise((64 + 16 * number, 64), 90).save(target)
        else:
            os.link(folder / f"p{number % 4:04}.png", target)
        target.with_suffix(".txt").write_text(f"1girl, solo, long hair, tag{number % 50}, number {number}")
    visit = open_page()
    choose(visit, "large")
    counted(visit, LARGE)
    expect(visit.page.locator("#dataset-grid img").first).to_be_visible(timeout=120_000)
    started = time.monotonic()
    visit.goto("dataset")
    counted(visit, LARGE)
    record_figure("5,000 pictures in the browser: whole page opened, s", time.monotonic() - started)
    visit.goto("train")
    visit.page.wait_for_load_state("networkidle")
    started = time.monotonic()
    visit.tab("dataset")
    counted(visit, LARGE)
    expect(visit.page.locator("#dataset-grid img").first).to_be_visible()
    opened = time.monotonic() - started
    started = time.monotonic()
    visit.page.locator("#dataset-tag input, #dataset-tag textarea").fill("tag7")
    counted(visit, LARGE // 50)
    filtered = time.monotonic() - started
    record_figure("5,000 pictures in the browser: tab opened, s", opened)
    record_figure("5,000 pictures in the browser: filtered, s", filtered)
    assert opened < 2 and filtered < 1
