"""The Try it panel: what its fields begin with."""

import shutil
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from merge_stock import TINY, workspace_in

from newbie_gui.pages.merge.choose_panel import ChoosePanel
from newbie_gui.pages.merge.inventory import InventoryCache
from newbie_gui.pages.merge.try_panel import TryPanel
from newbie_gui.pages.ui import Ui
from newbie_gui.services import make_services
from trainer_core.planning.base_check import check_base


@pytest.fixture
def panel(tmp_path: Path) -> TryPanel:
    ui = Ui("en", make_services(workspace_in(tmp_path)))
    made = TryPanel(ui, ChoosePanel(ui, InventoryCache(ui.workspace)))
    with gr.Blocks():
        made.place()
    return made


def test_a_copy_of_the_small_base_is_painted_small(panel: TryPanel, tmp_path: Path) -> None:
    merged = shutil.copytree(TINY, tmp_path / "merged")
    report = check_base({"base_model_path": str(merged)})
    assert list(panel.sized(report, 1024).values()) == [128, 128]
    assert panel.sized(report, 128) == panel.sized(report, 320) == {}
    assert panel.filled({}, str(merged))[panel.fields["width"]] == 128
    large = replace(report, parts=(replace(report.parts[0], size=7 << 30), *report.parts[1:]))
    assert list(panel.sized(large, 128).values()) == [1024, 1024]
