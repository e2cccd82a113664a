"""Samples, checkpoints, exports and the log, as they lie in a run folder."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from run_folders import make_checkpoint, make_run

from newbie_gui.runs.curves import Curve
from newbie_gui.runs.logs import read_log
from newbie_gui.runs.results import picture_settings, pictures, saved
from trainer_core.contracts.checkpoints import set_pinned
from trainer_core.contracts.fsutil import version_of
from trainer_core.contracts.workspace import Workspace
from trainer_core.training.sampling import SampleSettings, save_png


def test_pictures_are_found_by_step_and_prompt(workspace: Workspace) -> None:
    run = make_run(workspace, "one")
    for name in ("step-00000100-01.png", "step-00000020-00.png", ".step-00000020-01.png.tmp", "other.png"):
        (run.samples / name).touch()
    assert [(found.step, found.number) for found in pictures(run)] == [(20, 0), (100, 1)]


def test_a_picture_tells_its_settings_without_being_decoded(tmp_path: Path) -> None:
    settings = SampleSettings(
        prompt="一只猫, é", negative_prompt="", width=16, height=16, steps=4, cfg=4.5, shift=6.0, seed=7
    )
    file = tmp_path / "a.png"
    save_png(Image.new("RGB", (16, 16)), file, settings, step=20)
    found = picture_settings(file)
    assert (found["prompt"], found["seed"], found["step"]) == ("一只猫, é", 7, 20)
    # Cut off behind the text: what it was drawn with is read all the same, so its pixels are not.
    file.write_bytes(file.read_bytes()[:-30])
    assert picture_settings(file)["seed"] == 7


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s", 2**31, b"iTXt")],
)
def test_a_file_that_is_no_such_picture_has_no_settings(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.png").write_bytes(data)
    assert picture_settings(tmp_path / "a.png") == {} == picture_settings(tmp_path / "gone.png")


@pytest.mark.parametrize("text", ["[1]", "{torn", "", "[" * 100_000])
def test_a_text_that_is_no_settings_counts_as_none(tmp_path: Path, text: str) -> None:
    info = PngInfo()
    info.add_itxt("newbie", text)
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=info)
    assert picture_settings(tmp_path / "a.png") == {}


def test_what_was_saved_is_listed_with_losses_best_and_pins(workspace: Workspace) -> None:
    run = make_run(workspace, "one")
    first, _ = make_checkpoint(run, 10), make_checkpoint(run, 20)
    (run.checkpoints / "step-00000030").mkdir()
    (run.exports / "one-step-00000020.safetensors").write_bytes(b"12345")
    (run.exports / "one-step-00000020-peft").mkdir()
    set_pinned(first, True)
    # Not that of the lowest loss, which may have been measured on other images.
    run.validation_file.write_text('{"best": {"step": 10}}')
    loss = Curve(steps=np.array([10.0, 20.0]), values=np.array([0.5, 0.4]))
    validation = Curve(steps=np.array([0.0, 10.0, 20.0]), values=np.array([0.1, 0.3, 0.25]))
    export, newer, older = saved(run, validation, loss)
    assert (export.kind, export.size, export.loss, export.peft) == ("export", 5, 0.4, "one-step-00000020-peft")
    assert (newer.kind, newer.best, newer.pinned) == ("checkpoint", False, False)
    assert (older.step, older.best, older.pinned, older.validation) == (10, True, True, 0.3)


def test_the_end_of_a_log_and_a_search_through_all_of_it(tmp_path: Path) -> None:
    file = tmp_path / "train.log"
    assert read_log(file).lines == () and version_of(file) == ""
    file.write_text("\n".join(f"line {number} Wärme" for number in range(9000)), encoding="utf-8")
    assert read_log(file, most=3).lines == tuple(f"line {number} Wärme" for number in (8997, 8998, 8999))
    found = read_log(file, search="LINE 12", most=2)
    assert found.lines == ("line 1298 Wärme", "line 1299 Wärme") and found.matches == 111
    before = version_of(file)
    file.write_text("new")
    assert version_of(file) != before
