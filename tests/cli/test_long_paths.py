import pytest

from trainer_core.cli import main


@pytest.mark.parametrize("command", [["train", "--check"], ["estimate"]])
def test_a_name_that_the_disk_cannot_hold_is_one_error(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "x" * 300]) == 1
    assert "too long" in capsys.readouterr().err
