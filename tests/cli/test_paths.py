"""Path arguments: ~ is the home folder for every command, not a folder of that name."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer_core import cli
from trainer_core.cli.convert import classic as classic_convert
from trainer_core.cli.merge import classic


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "home"


def actions() -> Iterator[tuple[str, argparse.Action]]:
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for command in cli.COMMANDS:
        command.add(commands)
    for name, command_parser in commands.choices.items():
        yield from ((str(name), action) for action in command_parser._actions)


def test_every_command_reads_its_paths_alike() -> None:
    assert [f"{command} {action.dest}" for command, action in actions() if action.type is Path] == []


def test_the_classic_merge_writes_into_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Path, Path]] = []

    def merge(base: Path, loras: object, output: Path, *_: object, **__: object) -> None:
        asked.append((base, output))

    monkeypatch.setattr("trainer_core.tools.merge.merge", merge)
    assert classic(["--base_model_path=~/base", "--lora_path=x", "--output_path=~/m.safetensors"]) == 0
    assert asked == [(home / "base", home / "m.safetensors")]


@pytest.mark.parametrize(
    "command", [["cache"], ["convert", "--output=o"], ["merge", "--base=b", "--output=o", "--lora"]]
)
def test_a_home_of_nobody_is_told_in_words(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*command, "~of-nobody/x"]) == 1
    assert capsys.readouterr().err.startswith("error: ~of-nobody/x: no home folder is known for ~of-nobody.")


def test_the_classic_converter_tells_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert classic_convert(["--checkpoint", "~of-nobody/x"]) == 1
    assert "no home folder" in capsys.readouterr().err
