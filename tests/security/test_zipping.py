"""Folders as zips: streamed, complete, and honest about what changed meanwhile."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from newbie_gui.zipping import MISSING_NAME, zip_pieces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "我的 LoRA"
    (made / "samples").mkdir(parents=True)
    (made / "model.safetensors").write_bytes(os.urandom(3_000_000))
    (made / "train.log").write_bytes(b"step 1 loss 0.1\n" * 50_000)
    (made / "samples" / "图 1.png").write_bytes(b"png")
    (made / "samples" / "empty.txt").touch()
    (made / ".hidden").write_bytes(b"no")
    (made / "link").symlink_to("/etc/passwd")
    os.mkfifo(made / "pipe")
    return made


def opened(pieces) -> zipfile.ZipFile:
    archive = zipfile.ZipFile(io.BytesIO(b"".join(pieces)))
    assert archive.testzip() is None
    return archive


def test_every_file_is_inside_and_whole(folder: Path):
    archive = opened(zip_pieces(folder))
    names = ["model.safetensors", "train.log", "samples/empty.txt", "samples/图 1.png"]
    assert archive.namelist() == [f"{folder.name}/{name}" for name in names]
    for name in names:
        assert archive.read(f"{folder.name}/{name}") == (folder / name).read_bytes()


def test_only_text_is_packed(folder: Path):
    packed = {Path(entry.filename).name: entry for entry in opened(zip_pieces(folder)).infolist()}
    assert packed["model.safetensors"].compress_type == packed["图 1.png"].compress_type == zipfile.ZIP_STORED
    assert packed["train.log"].compress_size < packed["train.log"].file_size / 20


def test_pieces_stay_small_and_come_at_once(folder: Path):
    pieces = zip_pieces(folder)
    assert 2**20 <= len(next(pieces)) < 2**20 + 500
    assert max(len(piece) for piece in pieces) < 2**21


def test_what_vanished_or_shrank_meanwhile_is_named(folder: Path):
    pieces = zip_pieces(folder)
    first = next(pieces)
    os.truncate(folder / "model.safetensors", 1_500_000)
    (folder / "train.log").write_bytes(b"grown" * 500_000)
    (folder / "samples" / "图 1.png").unlink()
    archive = opened([first, *pieces])
    told = archive.read(f"{folder.name}/{MISSING_NAME}").decode()
    assert f"{folder.name}/samples/图 1.png: No such file" in told and "model.safetensors: became shorter" in told
    assert archive.getinfo(f"{folder.name}/train.log").file_size == 2_500_000
    assert archive.getinfo(f"{folder.name}/model.safetensors").file_size == 1_500_000


def test_a_file_that_grows_while_it_is_packed_is_cut_at_its_old_length(folder: Path):
    pieces = zip_pieces(folder)
    first = next(pieces)
    with open(folder / "model.safetensors", "ab") as file:
        file.write(b"more")
    assert opened([first, *pieces]).getinfo(f"{folder.name}/model.safetensors").file_size == 3_000_000


def test_a_download_that_was_given_up_leaves_nothing_open(folder: Path):
    code = (
        "import gc, os, sys; from pathlib import Path; from newbie_gui.zipping import zip_pieces\n"
        "pieces = zip_pieces(Path(sys.argv[1])); next(pieces); pieces.close(); gc.collect()"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, str(folder)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_names_that_are_no_unicode_and_odd_dates(tmp_path: Path):
    name = os.fsdecode(b"caf\xe9.txt")
    (tmp_path / name).write_bytes(b"x")
    os.utime(tmp_path / name, (0, 0))
    assert [entry.filename for entry in opened(zip_pieces(tmp_path)).infolist()] == [f"{tmp_path.name}/caf?.txt"]


def test_an_empty_folder_is_an_empty_zip(tmp_path: Path):
    assert opened(zip_pieces(tmp_path)).namelist() == []


def test_a_file_beyond_the_old_limit_gets_the_64_bit_form(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 2_500_000)
    packed = b"".join(zip_pieces(folder))
    assert b"PK\x06\x06" in packed[-500:] and b"PK\x06\x07" in packed[-500:]
    assert len(opened([packed]).read(f"{folder.name}/model.safetensors")) == 3_000_000
