"""From a pile of pictures to a downloaded LoRA and a merged model: the whole job in a real browser, nothing else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from gui_app import Application
from gui_journey import Journey
from gui_runs import held_queue, make_run
from gui_visit import Visit
from playwright.sync_api import expect
from safetensors import safe_open

from tests.newbie_gui.pages.merge_stock import write_lora
from trainer_core.tools.tiny.character import draw_data


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Sixteen pictures and their captions, one of the captions in need of mending."""
    folder = tmp_path_factory.mktemp("人物")
    draw_data(folder)
    first = min(folder.rglob("*.txt"))
    first.write_text("a caption with a msitake", encoding="utf-8")
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_from_pictures_to_a_merged_model(
    open_page: Callable[..., Visit], app: Application, pictures: list[Path], tmp_path: Path
):
    visit = open_page("en", width=1280, theme="light")
    me = Journey(visit, "anna")
    # Two epochs of twenty steps: enough to stop the run among them.
    me.drop_pictures(pictures, repeats=5)
    me.mend_caption()
    me.set_up(epochs=2)
    me.start()
    me.wait_for_step(4)
    visit.reload()
    visit.tab("train")
    reached = me.wait_for_step(6)
    me.click("train-save-stop")
    me.wait_for_state("stopped")
    expect(me.at("train-loss").locator("canvas, svg").first).to_be_visible()
    me.click("train-resume")
    me.wait_for_step(reached + 1)
    me.wait_for_state("finished")
    expect(me.at("train-samples").locator("img:visible").first).to_be_visible()
    lora = me.download(me.at("train-files").locator("a[download]").first, tmp_path)
    merged = me.merge_and_download(tmp_path)
    for file in (lora, merged):
        with safe_open(file, "pt") as tensors:
            assert len(list(tensors.keys())) > 40
    assert "without a mistake" in min(app.workspace.datasets.rglob("*.txt")).read_text(encoding="utf-8")


def test_in_chinese_on_a_phone_in_the_dark_every_button_is_reached_by_the_tab_key(
    open_page: Callable[..., Visit], app: Application, pictures: list[Path]
):
    """As far as Merge and Start wait in the queue: what becomes of them is above."""
    run = make_run(app.workspace, "安娜 一")
    write_lora(run.exports / "安娜 一-step-00000001.safetensors", width=192)
    visit = open_page("zh", width=390, theme="dark")
    me = Journey(visit, "安娜", keyboard=True)
    visit.tab("train")
    me.at("train-runs").get_by_role("button", name=run.path.name).click()
    with held_queue(app.workspace) as asked:
        me.merge()
        assert "安娜-model" in asked("merge").read_job().title
        me.drop_pictures(pictures, repeats=1)
        me.mend_caption()
        me.set_up(epochs=1)
        me.start()
        assert asked("train").read_job().title == "安娜"
