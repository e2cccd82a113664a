"""Takes the pictures in docs/images from the real page: python docs/take_screenshots.py [FOLDER]

Needs what ./launch.sh test needs, and Chromium. Takes about four minutes on two cores, most of it a small training.
"""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "gui")]

from conftest import ARGUMENTS, find_chromium  # noqa: E402
from gui_app import Application  # noqa: E402
from gui_journey import Journey  # noqa: E402
from gui_visit import Problems, Visit  # noqa: E402

from trainer_core.tools.tiny.character import draw_data  # noqa: E402

TABS = ("dataset", "config", "train", "merge", "disk")
SIZE = (1280, 1100)
PHONE = (390, 844)


def main(target: Path) -> None:
    """Do the whole job once in the page, then look at every tab in both languages."""
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        app = Application(Path(folder))
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=list(ARGUMENTS))
        try:
            app.start()
            _train(browser, app, Path(folder))
            for lang in ("en", "zh"):
                _all_tabs(browser, app, lang, target)
        finally:
            browser.close()
            app.close()


def _train(browser: Browser, app: Application, folder: Path) -> None:
    pictures = folder / "pictures"
    draw_data(pictures)
    with _visit(browser, app, "en", SIZE) as visit:
        me = Journey(visit, "nekorin")
        me.click("guide-hide")
        me.drop_pictures(sorted(path for path in pictures.rglob("*") if path.is_file()))
        me.set_up(epochs=6)
        me.start()
        me.wait_for_step(160)
        me.click("train-save-stop")
        me.wait_for_state("stopped")


def _all_tabs(browser: Browser, app: Application, lang: str, target: Path) -> None:
    for tab in TABS:
        with _visit(browser, app, lang, SIZE) as visit:
            _shot(visit, tab, target / f"{tab}-{lang}.webp")
    with _visit(browser, app, lang, PHONE, "dark") as visit:
        _shot(visit, "train", target / f"phone-{lang}.webp")


def _shot(visit: Visit, tab: str, file: Path) -> None:
    visit.tab(tab)
    if tab == "disk":
        visit.page.locator("#disk-measure").click()
    if tab == "dataset":
        visit.page.locator("#dataset-grid button").first.click()
    # Plots and thumbnails come a moment after the rest.
    visit.page.wait_for_timeout(3000)
    picture = Image.open(BytesIO(visit.page.screenshot()))
    picture.save(file, quality=85, method=6)
    print(file)


@contextmanager
def _visit(
    browser: Browser, app: Application, lang: str, size: tuple[int, int], theme: str = "light"
) -> Iterator[Visit]:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if theme == "dark" else "light",
        locale={"en": "en-US", "zh": "zh-CN"}[lang],
    )
    visit = Visit(context, app, lang, Problems())
    try:
        visit.open()
        yield visit
    finally:
        context.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
