"""The Merge tab in a real browser: files that were uploaded, what they are, their other form, pictures with them."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from gui_app import Application
from gui_runs import held_queue, make_run, until
from gui_visit import Visit
from PIL import Image
from playwright.sync_api import Route, expect

from newbie_gui.remember import Remembered
from tests.newbie_gui.pages.merge_stock import write_lora
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.jobdir import JobDir


@pytest.fixture(scope="module")
def lora(app: Application) -> Path:
    return write_lora(
        app.workspace.loras / "猫 &amp.safetensors", width=192, metadata={"ss_output_name": "<b>bold</b>"}
    )


def test_uploaded_files_are_looked_at_and_the_bad_ones_refused(
    app: Application, kept_page: Visit, tmp_path: Path
) -> None:
    good, bad = write_lora(tmp_path / "good.safetensors", width=192), tmp_path / "bad.safetensors"
    bad.write_bytes(b"\xff" * 100)
    visit = kept_page
    visit.tab("merge")
    visit.page.locator("#merge-upload input[type=file]").set_input_files([str(good), str(bad)])
    report = visit.page.locator("#merge-upload-report")
    expect(report.locator(".good")).to_contain_text("good.safetensors")
    expect(report.locator(".error")).to_contain_text("bad.safetensors")
    expect(visit.page.locator("#merge-lora-1 input")).to_have_value(re.compile("good"))
    assert [file.name for file in app.workspace.loras.glob("*.safetensors")].count("good.safetensors") == 1


def test_what_a_lora_is_and_its_other_form(app: Application, lora: Path, kept_page: Visit) -> None:
    visit = kept_page
    page = visit.page
    # It has come since the page was opened.
    visit.reload()
    visit.tab("merge")
    page.locator("#merge-details > button").click()
    page.locator("#merge-details-lora input").click()
    page.get_by_role("option", name="猫 &amp").click()
    expect(page.locator("#merge-facts")).to_contain_text("<b>bold</b>")
    with held_queue(app.workspace) as asked:
        page.locator("#merge-convert-start").click()
        spec = asked("convert_lora").read_job().spec
        expect(page.locator("#merge-jobs [data-status=waiting]")).to_be_visible()
    assert (spec["source"], spec["form"]) == (str(lora), "peft")


def test_pictures_with_and_without_it(app: Application, lora: Path, open_page: Callable[..., Visit]) -> None:
    visit = open_page("zh", width=390)
    page = visit.page
    visit.tab("merge")
    expect(page.locator("#merge-lora-1 input")).not_to_have_value("")
    page.locator("#merge-try-prompt").locator("input, textarea").fill("1girl, chibi")
    page.locator("#merge-try-more > button").click()
    page.locator("#merge-try-steps input").fill("2")
    with held_queue(app.workspace) as asked:
        page.locator("#merge-try-start").click()
        painted(asked("try"))
    pictures = page.locator("#merge-jobs img")
    expect(pictures).to_have_count(3)
    loaded = "() => [...document.querySelectorAll('#merge-jobs img')].every((img) => img.naturalWidth > 0)"
    pictures.first.scroll_into_view_if_needed()
    page.wait_for_function(loaded)


def painted(job: JobDir) -> None:
    """The test plays the job."""
    job.samples.mkdir(exist_ok=True)
    for strength in job.read_job().spec["strengths"]:
        name = f"00-strength-{strength:g}.png"
        Image.new("RGB", (64, 64)).save(job.samples / name)
        EventLog(job.events_file).emit("sample", file=name, strength=strength, seed=1, prompt=0, text="1girl, chibi")
    (job.path.parent / ".waiting" / job.path.name).unlink()
    job.write_state("finished")


def test_a_lora_sent_before_the_page_is_filled_stays(app: Application, empty_page: Callable[..., Visit]) -> None:
    run = make_run(app.workspace, "sender")
    for step in (10, 20):
        file = write_lora(run.exports / f"sender-step-{step:08d}.safetensors", width=192)
        os.utime(file, (step, step))
    Remembered(app.workspace.private / "choices.json").set("merge.try", {"prompt": "as last time"})
    visit = empty_page()
    page, first = visit.page, visit.page.locator("#merge-lora-1 input")
    held: list[Route] = []
    filling = f'"fn_index":{filling_of(visit)},'

    def passed(route: Route) -> None:
        if filling in (route.request.post_data or ""):
            held.append(route)
        else:
            route.continue_()

    page.route("**/gradio_api/**", passed)
    visit.goto()
    visit.tab("train")
    page.locator("#train-runs").get_by_role("button", name="sender").click()
    page.locator("#train-files button[data-do=merge][data-on*=step-00000010]").click()
    expect(first).to_have_value(re.compile("sender-step-00000010"))
    held[0].continue_()
    expect(page.locator("#merge-try-prompt textarea")).to_have_value("as last time")
    expect(first).to_have_value(re.compile("sender-step-00000010"))
    expect(page.locator("#merge-lora-2 input")).to_have_value("")

    loras = [{"path": str(run.exports / f"sender-step-{step:08d}.safetensors"), "strength": 0.5} for step in (20, 10)]
    Remembered(app.workspace.private / "choices.json").set("merge", {"loras": loras})
    page.unroute("**/gradio_api/**")
    page.locator("#merge-try-prompt textarea").fill("not painted yet")
    until(lambda: Remembered(app.workspace.private / "choices.json").get("merge.try") == {"prompt": "not painted yet"})
    visit.reload()
    visit.tab("merge")
    expect(page.locator("#merge-try-prompt textarea")).to_have_value("not painted yet")
    expect(page.locator("#merge-lora-2 input")).to_have_value(re.compile("sender-step-00000010"))
    expect(page.locator("#merge-strength-2 input[type=number]")).to_have_value("0.5")
    expect(page.locator("#merge-lora-3 input")).to_be_visible()


def test_whether_to_delete_is_asked_in_view(app: Application, lora: Path, open_page: Callable[..., Visit]) -> None:
    for number in range(20):
        shutil.copy(lora, app.workspace.loras / f"many-{number:02d}.safetensors")
    page = open_page("en", width=390).page
    page.evaluate("location.hash = 'merge'")
    page.locator("#merge-assets-box > button").click()
    deletes = page.locator("#merge-assets button[data-do=delete]")
    for one in (deletes.first, deletes.nth(1)):
        on = str(one.get_attribute("data-on"))
        one.press("Enter")
        question = page.get_by_role("group", name=f"Move {Path(on).name} to the trash?")
        expect(question).to_be_focused()
        expect(page.locator("#merge-sure-no")).to_be_in_viewport(ratio=0.9)
    page.locator("#merge-sure-no").press("Enter")
    expect(question).to_be_hidden()
    expect(page.locator(f'#merge-assets button[data-do=delete][data-on="{on}"]')).to_be_focused()


def filling_of(visit: Visit) -> int:
    """The number of the event that fills the Merge tab of a page just opened."""
    config = visit.context.request.get(f"{visit.app.base}/{visit.lang}/config").json()
    base = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "merge-jobs")
    return next(
        event["id"]
        for event in config["dependencies"]
        if base in event["outputs"] and any(name == "load" for _, name in event["targets"])
    )
