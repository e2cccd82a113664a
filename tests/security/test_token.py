"""The token: new at every start, or from a file that only its owner may read."""

import os
import re
from pathlib import Path

import pytest

from newbie_gui.token import start_token
from trainer_core.contracts.errors import UserError


def test_02_every_start_has_a_new_token_of_32_bytes(tmp_path: Path):
    tokens = {start_token(tmp_path) for _ in range(20)}
    assert len(tokens) == 20 and all(re.fullmatch(r"[\w-]{43}", token) for token in tokens)
    assert list(tmp_path.iterdir()) == []


def test_02_token_of_a_private_file_is_taken(tmp_path: Path):
    file = tmp_path / "token"
    file.write_text("k" * 40 + "\n")
    file.chmod(0o600)
    assert start_token(tmp_path) == "k" * 40


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permission bits")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602])
def test_02_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int):
    file = tmp_path / "token"
    file.write_text("k" * 40)
    file.chmod(mode)
    with pytest.raises(UserError, match=f"mode {mode:04o}") as caught:
        start_token(tmp_path)
    assert caught.value.code == "token_file_open" and "k" * 40 not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["", "short", "k" * 31, "k" * 201, "with space" * 5, "ü" * 40, "k" * 40 + "\nsecond"]
)
def test_02_a_file_without_a_usable_token_is_refused(tmp_path: Path, content: str):
    file = tmp_path / "token"
    file.write_text(content, encoding="utf-8")
    file.chmod(0o600)
    with pytest.raises(UserError, match="must hold one line") as caught:
        start_token(tmp_path)
    assert caught.value.code == "token_file_unusable"


def test_02_a_folder_in_the_files_place_is_refused(tmp_path: Path):
    (tmp_path / "token").mkdir()
    with pytest.raises(UserError, match="cannot be read"):
        start_token(tmp_path)
