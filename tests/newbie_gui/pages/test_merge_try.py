"""The Try it panel: what its fields begin with, and what is said of the base and the LoRAs above it."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import gradio as gr
import pytest
from merge_stock import TINY, workspace_in, write_lora

from newbie_gui.fresh import Fresh
from newbie_gui.pages.merge.choose_panel import ChoosePanel
from newbie_gui.pages.merge.inventory import read_inventory
from newbie_gui.pages.merge.try_panel import TryPanel
from newbie_gui.pages.ui import Ui
from newbie_gui.services import make_services
from trainer_core.contracts.errors import UserError
from trainer_core.planning.base_check import check_base


@pytest.fixture
def panel(tmp_path: Path) -> TryPanel:
    ui = Ui("en", make_services(workspace_in(tmp_path)))
    choose = ChoosePanel(ui, Fresh(lambda: read_inventory(ui.workspace), 2.0))
    made = TryPanel(ui, choose)
    with gr.Blocks():
        choose.place()
        made.place()
    return made


def test_a_copy_of_the_small_base_is_painted_small(panel: TryPanel, tmp_path: Path) -> None:
    merged = shutil.copytree(TINY, tmp_path / "merged")
    report = check_base({"base_model_path": str(merged)})
    assert list(panel.sized(report, 1024).values()) == [128, 128]
    assert panel.sized(report, 128) == panel.sized(report, 320) == {}
    assert panel.filled(str(merged))[panel.fields["width"]] == 128
    large = replace(report, parts=(replace(report.parts[0], size=7 << 30), *report.parts[1:]))
    assert list(panel.sized(large, 128).values()) == [1024, 1024]


def test_what_was_typed_is_found_again_without_painting(panel: TryPanel, tmp_path: Path) -> None:
    for name, value in (("prompt", "1gi"), ("height", 320), ("prompt", "1girl 猫"), ("device", "gpu:9")):
        panel._kept(name, value)
    fields = panel.fields
    found = panel.filled(str(TINY))
    assert (found[fields["prompt"]], found[fields["width"]], found[fields["height"]]) == ("1girl 猫", 128, 320)
    assert found[fields["device"]] == "cpu" and fields["steps"] not in found


@pytest.mark.parametrize(
    ("field", "typed", "allowed"),
    [
        ("steps", 0, "1 to 200"), ("steps", 500, "1 to 200"), ("height", 16, "64 to 2,048"), ("cfg", 1000, "0 to 30"),
        ("width", 9999, "64 to 2,048"), ("shift", 0, "0.01 to 100"), ("seed", -1, "0 to 9,007,199,254,740,992"),
        ("seed", None, "0 to 9,007,199,254,740,992"),
    ],
)  # fmt: skip
def test_a_number_beyond_its_range_is_told_the_range(
    panel: TryPanel, tmp_path: Path, field: str, typed: float | None, allowed: str
) -> None:
    lora = write_lora(tmp_path / "a.safetensors")
    choose, fields = panel._choose, panel.fields
    values = {control: control.preprocess(control.value) for control in (*choose.inputs, *fields.values())}
    chosen = {choose.base: str(TINY), choose.loras[0]: str(lora), fields["prompt"]: "1girl"}
    values |= {**chosen, fields[field]: fields[field].preprocess(typed)}
    with pytest.raises(UserError, match=f"^{re.escape(fields[field].label)}: .*{allowed}"):
        panel.go(values)


def test_a_lora_that_the_base_holds_already_is_warned_of(panel: TryPanel, tmp_path: Path) -> None:
    choose, base = panel._choose, tmp_path / "merged.safetensors"
    data = (TINY / "transformer/diffusion_pytorch_model.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    merged = json.dumps([{"name": "<b>.safetensors", "strength": 0.5}])
    header = json.dumps({**json.loads(data[8 : 8 + length]), "__metadata__": {"newbie_merged_loras": merged}}).encode()
    base.write_bytes(len(header).to_bytes(8, "little") + header + data[8 + length :])
    lora = write_lora(tmp_path / "<b>.safetensors")
    values = dict.fromkeys(choose.loras, "") | dict.fromkeys(choose.strengths, 1.0)
    chosen = {**values, choose.base: f' "{base}"', choose.loras[1]: str(lora)}
    assert "has &lt;b&gt;.safetensors merged in already (strength 0.5)" in choose.warned(chosen)
    for other in ({choose.loras[1]: ""}, {choose.strengths[1]: -0.5}, {choose.base: str(TINY)}, {choose.base: "x"}):
        assert choose.warned({**chosen, **other}) == ""
