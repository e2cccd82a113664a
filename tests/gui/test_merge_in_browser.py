"""The Merge tab in a real browser: files that were uploaded, what they are, their other form, pictures with them."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from gui_app import Application
from gui_visit import Visit
from playwright.sync_api import expect
from safetensors import safe_open

from tests.newbie_gui.pages.merge_stock import write_lora


@pytest.fixture(scope="module")
def lora(app: Application) -> Path:
    return write_lora(
        app.workspace.loras / "猫 &amp.safetensors", width=192, metadata={"ss_output_name": "<b>bold</b>"}
    )


def test_uploaded_files_are_looked_at_and_the_bad_ones_refused(
    app: Application, open_page: Callable[..., Visit], tmp_path: Path
) -> None:
    good, bad = write_lora(tmp_path / "good.safetensors", width=192), tmp_path / "bad.safetensors"
    bad.write_bytes(b"\xff" * 100)
    visit = open_page()
    visit.tab("merge")
    visit.page.locator("#merge-upload input[type=file]").set_input_files([str(good), str(bad)])
    report = visit.page.locator("#merge-upload-report")
    expect(report.locator(".good")).to_contain_text("good.safetensors")
    expect(report.locator(".error")).to_contain_text("bad.safetensors")
    expect(visit.page.locator("#merge-lora-1 input")).to_have_value(re.compile("good"))
    assert [file.name for file in app.workspace.loras.glob("*.safetensors")].count("good.safetensors") == 1


def test_what_a_lora_is_and_its_other_form(app: Application, lora: Path, open_page: Callable[..., Visit]) -> None:
    visit = open_page()
    page = visit.page
    visit.tab("merge")
    page.locator("#merge-details > button").click()
    page.locator("#merge-details-lora input").click()
    page.get_by_role("option", name="猫 &amp").click()
    expect(page.locator("#merge-facts")).to_contain_text("<b>bold</b>")
    page.locator("#merge-convert-start").click()
    expect(page.locator("#merge-jobs a[download]").first).to_be_visible(timeout=90_000)
    made = [path for path in app.workspace.loras.iterdir() if path.is_dir() and path.name[0] != "."]
    with safe_open(made[0] / "adapter_model.safetensors", "np") as tensors:
        assert len(list(tensors.keys())) == 2


def test_pictures_with_and_without_it(lora: Path, open_page: Callable[..., Visit]) -> None:
    visit = open_page("zh", width=390)
    page = visit.page
    visit.tab("merge")
    expect(page.locator("#merge-lora-1 input")).not_to_have_value("")
    page.locator("#merge-try-prompt").locator("input, textarea").fill("1girl, chibi")
    page.locator("#merge-try-more > button").click()
    page.locator("#merge-try-steps input").fill("2")
    page.locator("#merge-try-start").click()
    pictures = page.locator("#merge-jobs img")
    expect(pictures).to_have_count(3, timeout=120_000)
    loaded = "() => [...document.querySelectorAll('#merge-jobs img')].every((img) => img.naturalWidth > 0)"
    pictures.first.scroll_into_view_if_needed()
    page.wait_for_function(loaded)
