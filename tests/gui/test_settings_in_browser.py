"""The Settings tab in a real browser: base models of every origin, problems beside their fields, import and export."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gui_app import Application
from gui_runs import held_queue, until
from gui_visit import Visit
from PIL import Image
from playwright.sync_api import Locator, expect

from tests.model.fake_hub import FakeHub, serving
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.hub_place import NEWBIE


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeHub]:
    base = {file.relative_to(TINY_BASE).as_posix(): file.read_bytes() for file in TINY_BASE.rglob("*.*")}
    with serving({NEWBIE: base}) as server:
        yield server


@pytest.fixture(scope="module")
def app(
    chromium: str, hub: FakeHub, start_app: Callable[..., Application], tmp_path_factory: pytest.TempPathFactory
) -> Application:
    home = tmp_path_factory.mktemp("hub's own")
    application = start_app(variables={"HF_ENDPOINT": hub.address, "HF_HOME": str(home)})
    # The page proposes the data set that there is when it is opened.
    pictures = application.workspace.datasets / "one"
    pictures.mkdir()
    Image.new("RGB", (64, 64)).save(pictures / "a.png")
    return application


def choose_how(visit: Visit, words: str) -> None:
    visit.settings()
    visit.page.locator("#base-how").get_by_text(words, exact=True).click()


def field(visit: Visit, name: str) -> str:
    return visit.page.locator(f"#config-{name}").locator("input, textarea").first.input_value()


def test_a_base_is_downloaded_after_its_size_was_shown(app: Application, hub: FakeHub, kept_page: Visit) -> None:
    visit = kept_page
    page = visit.page
    choose_how(visit, "Download…")
    assert hub.asked == []
    page.locator("#base-plan").click()
    confirm = page.locator("#base-confirm")
    expect(confirm).to_have_text(re.compile(r"Download [0-9.]+ MiB now"), timeout=90_000)
    expect(page.locator("#base-job")).to_contain_text("Free on this disk")
    assert hub.fetched() == set()
    confirm.click()
    # It is chosen when it has come.
    expect(page.locator("#base-report")).to_contain_text("NewBie-image-Exp0.1", timeout=90_000)
    expect(page.locator("#base-report strong")).to_contain_text("✓")
    made = app.workspace.models / "NewBie-image-Exp0.1"
    weights = "transformer/diffusion_pytorch_model.safetensors"
    assert (made / weights).read_bytes() == (TINY_BASE / weights).read_bytes()


def test_a_conversion_is_asked_for(app: Application, kept_page: Visit) -> None:
    """What a job made is chosen as above."""
    visit = kept_page
    page = visit.page
    choose_how(visit, "Convert…")
    page.locator("#base-source").locator("input, textarea").fill(str(TINY_BASE))
    page.locator("#base-convert-name").locator("input, textarea").fill("halb 半")
    page.locator("#base-dtype input").click()
    page.get_by_role("option", name="bf16").click()
    with held_queue(app.workspace) as asked:
        page.locator("#base-convert-start").click()
        spec = asked("convert").read_job().spec
        expect(page.locator("#base-job")).to_contain_text("waiting, place 1")
    assert (spec["source"], spec["dtype"]) == (str(TINY_BASE), "bf16")
    assert spec["output"] == str(app.workspace.models / "halb 半")


def test_a_folder_is_checked_at_once(kept_page: Visit, tmp_path: Path) -> None:
    visit = kept_page
    choose_how(visit, "A folder or one made here")
    path = visit.page.locator("#base-folder-path input")
    path.fill(str(tmp_path))
    path.press("Enter")
    expect(visit.page.locator("#base-report strong")).to_contain_text("⚠")
    choose_how(visit, "Built-in (tiny, to try things)")
    expect(visit.page.locator("#base-report strong")).to_contain_text("✓")
    visit.reload()
    visit.settings()
    expect(visit.page.locator("#base-how").get_by_label("Built-in (tiny, to try things)")).to_be_checked()


def test_a_problem_stands_beside_its_field_and_start_waits(kept_page: Visit) -> None:
    visit = kept_page
    visit.settings()
    epochs = visit.page.locator("#config-num_epochs")
    good = epochs.locator("input").input_value()
    epochs.locator("input").fill("0")
    expect(epochs).to_contain_text("Must be a whole number from 1")
    expect(visit.page.locator("#fit-check")).to_be_disabled()
    expect(visit.page.locator("#fit-why-not")).to_contain_text("One problem to solve")
    visit.tab("train")
    expect(visit.page.locator("#train-start")).to_be_disabled()
    expect(visit.page.locator("#train-queue")).to_be_disabled()
    visit.page.locator("#train-why-not a").click()
    expect(epochs).to_be_visible()
    epochs.locator("input").fill(good)
    expect(epochs).not_to_contain_text("Must be a whole number from 1")
    visit.tab("train")
    expect(visit.page.locator("#train-start")).to_be_enabled()
    expect(visit.page.locator("#train-why-not")).to_have_text("")
    # What a step takes is tried with the settings as they stand, and the forecast takes it over.
    visit.settings()
    visit.page.locator("#fit-check").click()
    expect(visit.page.locator("#fit-stop")).to_be_visible()
    expect(visit.page.locator("#fit-answer")).to_contain_text("Fits, as tried", timeout=120_000)
    expect(visit.page.locator("#config-live")).to_contain_text("measured:", timeout=30_000)
    expect(visit.page.locator("#fit-check")).to_be_enabled()
    # In a low window as well, and nothing of the column is beside the page.
    visit.page.set_viewport_size({"width": 1280, "height": 720})
    visit.page.locator("#fit-answer").scroll_into_view_if_needed()
    expect(visit.page.locator("#fit-answer")).to_be_in_viewport()
    assert visit.page.locator(".config-side").evaluate("(side) => side.scrollWidth - side.clientWidth") <= 0


def test_files_of_another_trainer_are_read_and_exported(kept_page: Visit, tmp_path: Path) -> None:
    visit = kept_page
    page = visit.page
    visit.settings()
    page.locator("#config-files > button").click()
    page.locator("#config-import > button").click()

    def give(name: str, text: str) -> None:
        (tmp_path / name).write_text(text, encoding="utf-8")
        page.locator("#config-import-file input[type=file]").set_input_files(str(tmp_path / name))
        # The link comes when the upload is done; the name alone is there before.
        expect(page.locator(f"#config-import-file a[download='{name}']")).to_be_visible()
        page.locator("#config-import-read").click()

    give("one.toml", "[Model]\nuse_dora = true\nnum_epochs = 7\n")
    without = page.locator("#config-import-without")
    without.get_by_label("use_dora").check()
    page.locator("#config-import-read").click()
    expect(page.locator("#config-num_epochs input").first).to_have_value("7")
    page.locator("#config-import-file").get_by_role("button", name="Clear").click()
    # What was ticked for one file counts for no other.
    expect(without).not_to_be_visible()
    give("lora.toml", "[Model]\nlora_rank = 24\nlora_alpha = 12\nnum_epochs = 13\n")
    expect(page.locator("#config-import-report table")).to_contain_text("lora_rank")
    expect(page.locator("#config-num_epochs input").first).to_have_value("13")
    page.locator("#config-export > button").click()
    page.locator("#config-export-show").click()
    expect(page.locator("#config-export-toml textarea")).to_have_value(re.compile(r"lora_rank = 24\b"))
    expect(page.locator("#config-export-links")).to_contain_text("trainer_core train")


def test_what_is_pasted_deleted_or_composed_is_kept(app: Application, kept_page: Visit) -> None:
    """Text that gets into a box by other ways than the keys of its letters counts as typed."""
    visit = kept_page
    visit.settings()
    box = visit.page.locator("#config-output_name").locator("input, textarea")
    paste(visit, box, "pasted")
    kept(app, "pasted")
    box.press("Backspace")
    kept(app, "paste")
    box.press("Control+z")
    kept(app, "pasted")
    # The browser's own input, as an input method uses it.
    keys = visit.context.new_cdp_session(visit.page)
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
    until(lambda: file.exists() and f'"output_name": "{name}"' in file.read_text(encoding="utf-8"))


def test_what_was_set_is_there_whichever_tab_was_opened_first(app: Application, kept_page: Visit) -> None:
    folder = app.workspace.datasets / "kept"
    folder.mkdir()
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    draft = app.workspace.private / "draft.json"
    visit = kept_page
    visit.settings()
    data = visit.page.locator("#config-train_data_dir input")
    data.fill(str(folder))
    data.press("Enter")
    visit.page.locator("#config-output_name").locator("input, textarea").fill("kept too")
    until(lambda: json.loads(draft.read_bytes())["train_data_dir"] == str(folder))
    visit.goto("train")
    visit.page.wait_for_timeout(1000)
    visit.settings()
    expect(data).to_have_value("kept")
    expect(visit.page.locator("#config-live")).not_to_contain_text("Training images")
    assert json.loads(draft.read_bytes())["train_data_dir"] == str(folder)
