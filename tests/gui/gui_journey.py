"""One person's way through the tabs, for the journey's test and the script that takes the screenshots."""

import re
import time
from pathlib import Path

from gui_visit import Visit
from playwright.sync_api import Locator, expect

from newbie_gui.texts import Texts

RUN_S = 400


class Journey:
    """One person's way through the tabs; each step waits for what that person would wait for."""

    def __init__(self, visit: Visit, name: str, *, keyboard: bool = False) -> None:
        self.visit = visit
        self.keyboard = keyboard
        self.page = visit.page
        self.name = name

    def at(self, identity: str) -> Locator:
        return self.page.locator(f"#{identity}")

    def write(self, identity: str, text: str) -> None:
        self.at(identity).locator("input, textarea").first.fill(text)

    def click(self, identity: str) -> None:
        button = self.page.locator(f"button#{identity}, #{identity} button").first
        expect(button).to_be_enabled()
        if self.keyboard:
            self.reach(button)
            self.page.keyboard.press("Enter")
        else:
            button.click()

    def reach(self, button: Locator) -> None:
        """Press Tab until the button has the focus, as somebody without a mouse does."""
        for _ in range(400):
            if button.evaluate("(button) => button === document.activeElement"):
                return
            self.page.keyboard.press("Tab")
        raise AssertionError("no way to the button by the Tab key")

    def unfold(self, identity: str, inside: str) -> None:
        """Open a folded part until what is ``inside`` can be seen: a click on a page that just loads may be lost."""
        deadline = time.monotonic() + 60
        while not self.at(inside).is_visible():
            assert time.monotonic() < deadline, f"{inside} stays folded away"
            self.at(identity).locator("button").first.click()
            self.page.wait_for_timeout(500)

    def drop_pictures(self, pictures: list[Path], *, repeats: int = 10) -> None:
        """Make a data set of them; ten repeats are forty steps an epoch, enough to stop a run among them."""
        self.visit.tab("dataset")
        self.unfold("dataset-manage", "dataset-create")
        self.write("dataset-name", self.name)
        self.write("dataset-repeats", str(repeats))
        self.click("dataset-create")
        expect(self.at("dataset-choose").locator("input")).to_have_value(re.compile(self.name))
        self.at("dataset-files").locator("input[type=file]").set_input_files([str(path) for path in pictures])
        expect(self.at("dataset-grid").locator("img")).to_have_count(16, timeout=60_000)

    def mend_caption(self) -> None:
        self.at("dataset-grid").locator("button").first.click()
        caption = self.at("dataset-caption").locator("textarea")
        expect(caption).to_have_value(re.compile("msitake"))
        caption.fill("nekorin, 1girl, chibi, a caption without a mistake")
        self.click("dataset-save")
        expect(self.at("dataset-said")).not_to_be_empty()

    def set_up(self, *, epochs: int) -> None:
        self.visit.tab("config")
        expect(self.at("config-live")).to_contain_text("16")
        self.write("config-output_name", self.name)
        self.write("config-num_epochs", str(epochs))
        self.write("config-save_epochs_interval", "1")
        self.write("config-sample_prompts", "nekorin, 1girl, chibi")

    def start(self) -> None:
        self.visit.tab("train")
        self.click("train-start")
        expect(self.at("train-progress")).to_contain_text(self.name)

    def wait_for_step(self, least: int) -> int:
        """Wait until the page tells of a step from ``least`` on; returns it."""
        told = Texts(self.visit.lang)("train.progress.steps", done="DONE", total="TOTAL")
        pattern = re.escape(told).replace("DONE", "([0-9]+)").replace("TOTAL", "[0-9]+")
        deadline = time.monotonic() + RUN_S
        while True:
            found = re.search(pattern, self.at("train-progress").inner_text())
            if found and int(found[1]) >= least:
                return int(found[1])
            assert time.monotonic() < deadline, self.at("train-progress").inner_text()
            self.page.wait_for_timeout(200)

    def wait_for_state(self, state: str) -> None:
        expect(self.at("train-progress").locator(f".state-{state}")).to_be_visible(timeout=1000 * RUN_S)

    def merge(self) -> None:
        chosen = "(name) => [...document.querySelectorAll('#tab-merge input')].some((x) => x.value.includes(name))"
        deadline = time.monotonic() + 60
        while not self.page.evaluate(chosen, self.name):
            assert time.monotonic() < deadline, "the run's LoRA is not chosen"
            # Again: a press while the page is still loading was lost twice in whole runs on two busy cores.
            self.visit.tab("train")
            self.at("train-files").locator("button[data-do=merge]").first.click()
            self.page.wait_for_timeout(3000)
        self.write("merge-name", f"{self.name}-model")
        self.click("merge-start")

    def merge_and_download(self, folder: Path) -> Path:
        self.merge()
        link = self.at("merge-jobs").locator("a[download]").first
        expect(link).to_be_visible(timeout=1000 * RUN_S)
        return self.download(link, folder)

    def download(self, link: Locator, folder: Path) -> Path:
        with self.page.expect_download() as waiting:
            link.click()
        target = folder / waiting.value.suggested_filename
        waiting.value.save_as(target)
        return target
