"""`sample`: the pictures of a call, beside those of earlier calls."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from trainer_core.cli import main
from trainer_core.tools.generate import PictureRequest


def test_a_second_call_numbers_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def generate(base: object, loras: object, requests: list[PictureRequest], *, generated: Callable, **_: Any) -> None:
        for index, request in enumerate(requests):
            generated(index, request, Image.new("RGB", (8, 8)))

    monkeypatch.setattr("trainer_core.tools.generate.generate", generate)
    (tmp_path / "holiday.png").touch()
    call = ["sample", "--output", str(tmp_path), "--device", "cpu", "--prompt", "a", "--prompt", "b"]
    assert main(call) == main(call) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "holiday.png", "00-seed-42.png", "01-seed-43.png", "02-seed-42.png", "03-seed-43.png",
    }  # fmt: skip


def test_the_name_of_a_picture_is_no_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "anna.PNG"
    assert main(["sample", "--output", str(output), "--device", "cpu", "--prompt", "a"]) == 1
    assert f"--output {tmp_path / 'anna'})" in capsys.readouterr().err and not output.exists()


def test_a_strength_with_a_comma_is_told_how_to_write_it(capsys: pytest.CaptureFixture[str]) -> None:
    for strength, hints in (("0,5", 1), ("half", 0)):
        assert main(["sample", "--lora", f"x.safetensors={strength}", "--device", "cpu", "--prompt", "a"]) == 1
        told = capsys.readouterr().err
        assert "is not a number" in told and told.count("  - Write 0.5") == hints
