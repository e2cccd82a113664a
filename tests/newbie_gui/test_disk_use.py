"""What the workspace takes on disk, and making room."""

import os
import time
from pathlib import Path

import pytest

from newbie_gui.disk_use import CLEANABLE, clean, measure
from trainer_core.contracts import feature_files
from trainer_core.contracts.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "工作区")
    made.create()
    return made


def sizes(workspace: Workspace) -> dict[str, int]:
    return {use.part: use.bytes for use in measure(workspace)}


def test_every_byte_is_counted_once_even_with_two_names(workspace: Workspace):
    (workspace.models / "a").mkdir()
    (workspace.models / "a" / "weights.safetensors").write_bytes(bytes(5000))
    os.link(workspace.models / "a" / "weights.safetensors", workspace.models / "again.safetensors")
    (workspace.trash / "old.txt").write_bytes(bytes(7))
    assert sizes(workspace)["models"] == 5000
    assert sizes(workspace)["trash"] == 7
    assert {use.part: use.entries for use in measure(workspace)}["models"] == 2


def test_a_link_is_neither_followed_nor_does_emptying_harm_its_goal(workspace: Workspace, tmp_path: Path):
    outside = tmp_path / "mine"
    outside.mkdir()
    (outside / "picture.png").write_bytes(bytes(900))
    (workspace.trash / "link").symlink_to(outside)
    assert sizes(workspace)["trash"] < 900
    clean(workspace, "trash")
    assert (outside / "picture.png").exists()
    assert list(workspace.trash.iterdir()) == []


def test_the_cache_is_emptied_and_what_is_no_feature_stays(workspace: Workspace):
    entry = feature_files.entry_file(workspace.cache, "latents", "ab" * 32)
    entry.parent.mkdir(parents=True)
    entry.write_bytes(b"1")
    (workspace.cache / "mine.safetensors").write_bytes(b"1")
    clean(workspace, "cache")
    assert [path.name for path in workspace.cache.iterdir()] == ["mine.safetensors"]


def test_only_old_uploads_go(workspace: Workspace):
    for name, age_s in (("old", 7200), ("new", 60)):
        (workspace.uploads / name).mkdir()
        os.utime(workspace.uploads / name, (time.time() - age_s,) * 2)
    clean(workspace, "uploads")
    assert [entry.name for entry in workspace.uploads.iterdir()] == ["new"]


def test_uploads_that_were_taken_in_are_no_unfinished_ones(workspace: Workspace):
    for name in ("taken", "waiting"):
        (workspace.uploads / name).mkdir()
    (workspace.uploads / "waiting" / "1.png").write_bytes(b"x")
    assert {use.part: use.entries for use in measure(workspace)}["uploads"] == 1


@pytest.mark.parametrize("part", CLEANABLE)
def test_a_part_whose_folder_is_gone_is_clean(tmp_path: Path, part: str):
    clean(Workspace(tmp_path / "nothing"), part)


def test_what_is_not_cleanable_is_refused(workspace: Workspace):
    assert "datasets" not in CLEANABLE
    with pytest.raises(ValueError, match="datasets"):
        clean(workspace, "datasets")
