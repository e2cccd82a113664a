"""Checkpoints: exact round trips, and a crash, a flipped bit or a full disk at any moment costs one save at most."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from trainer_core.contracts import fsutil
from trainer_core.contracts.checkpoints import (
    MANIFEST,
    best_checkpoint,
    complete_checkpoints,
    is_pinned,
    prune,
    set_pinned,
)
from trainer_core.contracts.errors import UserError
from trainer_core.training import checkpoint as module
from trainer_core.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    newest_checkpoint,
    optimizer_kind,
    optimizer_state,
    restore_optimizer,
    save_checkpoint,
)


def checkpoint(step: int, **optimizer: Any) -> Checkpoint:
    adapter = {"a.lora_A": torch.full((4, 6), float(step)), "a.lora_B": torch.randn(6, 4).T}
    return Checkpoint(adapter=adapter, optimizer=optimizer, state={"step": step, "epoch": 1, "note": "ü"})


def saved(root: Path, *steps: int, keep: int = 9) -> list[Path]:
    return [save_checkpoint(root, checkpoint(step).copied(), keep=keep) for step in steps]


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def flip(file: Path, place: int = -1) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.write_bytes(data)


def test_a_checkpoint_comes_back_bit_for_bit(tmp_path: Path) -> None:
    table = torch.arange(256, dtype=torch.uint8)
    state = {
        0: {"step": torch.tensor(3.0), "state1": table, "qmap1": torch.randn(9), "nested": {"0": 1, 0: None}},
        11: {"step": 7, "exp_avg": torch.randn(2, 3).bfloat16(), "flag": True, "list": [1, 2.5]},
    }
    original = checkpoint(5, plain=0.1)
    original.optimizer.update(state)  # type: ignore[arg-type]
    loaded = load_checkpoint(save_checkpoint(tmp_path, original.copied(), keep=2))
    assert loaded.state == original.state
    assert_same(loaded.optimizer, {"plain": 0.1, **state})
    assert_same(loaded.adapter, original.adapter)


def assert_same(found: Any, wanted: Any) -> None:
    assert type(found) is type(wanted)
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for key in wanted:
            assert_same(found[key], wanted[key])
    elif isinstance(wanted, torch.Tensor):
        assert found.dtype == wanted.dtype and torch.equal(found, wanted)
    else:
        assert found == wanted


def test_tensors_that_share_memory_are_saved(tmp_path: Path) -> None:
    table = torch.randn(16)
    shared = checkpoint(1, one={"q": table}, two={"q": table})
    loaded = load_checkpoint(save_checkpoint(tmp_path, shared.copied(), keep=2))
    assert torch.equal(loaded.optimizer["two"]["q"], table)


def trained(parameter: torch.nn.Parameter, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for step in range(steps):
        optimizer.zero_grad()
        (parameter * (step + 1)).square().sum().backward()
        optimizer.step()


def test_an_optimizer_goes_on_exactly(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([parameter], lr=0.1)
    trained(parameter, optimizer, 3)
    kept = Checkpoint(adapter={"p": parameter}, optimizer=optimizer_state(optimizer), state={"step": 3})
    loaded = load_checkpoint(save_checkpoint(tmp_path, kept.copied(), keep=2))
    twin = torch.nn.Parameter(loaded.adapter["p"])
    restored = torch.optim.AdamW([twin], lr=0.1)
    restore_optimizer(restored, loaded.optimizer)
    trained(parameter, optimizer, 4)
    trained(twin, restored, 4)
    assert torch.equal(parameter, twin)


def test_the_newest_is_found_and_old_ones_are_pruned(tmp_path: Path) -> None:
    saved(tmp_path, 2, 10, 100, keep=2)
    assert names(tmp_path) == ["step-00000010", "step-00000100"]
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None and found.state["step"] == 100 and damaged == []


@pytest.mark.parametrize("keep", [-1, 0, 1, 2])
def test_35_pruning_never_goes_below_two(tmp_path: Path, keep: int) -> None:
    saved(tmp_path, 1, 2, 3)
    prune(tmp_path, keep)
    assert names(tmp_path) == ["step-00000002", "step-00000003"]


def test_a_pinned_checkpoint_is_never_pruned_and_still_loads(tmp_path: Path) -> None:
    first = saved(tmp_path, 1, 2)[0]
    set_pinned(first, True)
    saved(tmp_path, 3, 4, keep=2)
    assert complete_checkpoints(tmp_path) == [tmp_path / f"step-0000000{step}" for step in (1, 3, 4)]
    assert load_checkpoint(first).state["step"] == 1
    set_pinned(first, False)
    prune(tmp_path, 2)
    assert names(tmp_path) == ["step-00000003", "step-00000004"]


def test_only_losses_on_the_same_held_out_images_compete(tmp_path: Path) -> None:
    def best_after(step: int, loss: float | None, held_out: str | None) -> str:
        state = {"step": step, "validation_loss": loss, "held_out": held_out}
        save_checkpoint(tmp_path, replace(checkpoint(step), state=state).copied(), keep=9)
        best = best_checkpoint(tmp_path)
        return best.name[-1] if best else ""

    # One that does not tell is an old one, from before anything changed.
    assert [best_after(1, 3.0, None), best_after(2, 4.0, "a"), best_after(3, 1.0, "a")] == ["1", "1", "3"]
    assert [best_after(4, None, "b"), best_after(5, 9.0, "b"), best_after(6, 9.0, "b")] == ["3", "5", "5"]
    assert best_after(7, 2.0, "a") == "7"


def test_what_is_gone_cannot_be_pinned(tmp_path: Path) -> None:
    gone = tmp_path / "step-00000001"
    with pytest.raises(UserError) as caught:
        set_pinned(gone, True)
    assert caught.value.code == "checkpoint_missing" and not is_pinned(gone)
    set_pinned(gone, False)


@pytest.mark.parametrize("file", ["adapter.safetensors", "optimizer.safetensors", "state.json"])
def test_a_flipped_byte_sends_it_to_the_older_one(tmp_path: Path, file: str) -> None:
    older, newer = saved(tmp_path, 1, 2)
    flip(newer / file)
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None and found.state["step"] == 1
    assert damaged == [newer]
    with pytest.raises(UserError, match=file):
        load_checkpoint(newer)


@pytest.mark.parametrize("content", [None, "", "{", "[]", "{}", '{"state.json": 3}', '{"state.json": {}}', "null"])
def test_without_a_sound_manifest_a_folder_does_not_count(tmp_path: Path, content: str | None) -> None:
    older, newer = saved(tmp_path, 1, 2)
    (newer / MANIFEST).unlink()
    if content is not None:
        (newer / MANIFEST).write_text(content)
    assert complete_checkpoints(tmp_path) == [older]
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None and found.state["step"] == 1 and damaged == [newer]


def test_strange_neighbours_do_no_harm(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "absent") == (None, [])
    (tmp_path / "step-9").write_text("a file")
    (tmp_path / "step-best").mkdir()
    (folder,) = saved(tmp_path, 1)
    assert complete_checkpoints(tmp_path) == [folder]


def test_a_save_after_damage_replaces_what_was_passed_over(tmp_path: Path) -> None:
    _, _, damaged = saved(tmp_path, 1, 2, 3)
    flip(damaged / "adapter.safetensors")
    saved(tmp_path, 3)
    assert newest_checkpoint(tmp_path)[1] == []
    flip(damaged / "adapter.safetensors")
    set_pinned(damaged, True)
    saved(tmp_path, 2)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


CRASH = """
import os, sys
from pathlib import Path
import torch
from trainer_core.contracts import fsutil
from trainer_core.training import checkpoint as c
root, moment = Path(sys.argv[1]), sys.argv[2]
setattr(fsutil if moment == "replace" else c, moment, lambda *a, **k: os._exit(9))
c.save_checkpoint(root, c.Checkpoint(adapter={"a": torch.ones(1)}, optimizer={}, state={"step": 3}), keep=2)
"""


@pytest.mark.parametrize("moment", ["_seal", "replace"])
def test_33_a_writer_killed_on_the_way_costs_nothing_but_its_own_save(tmp_path: Path, moment: str) -> None:
    saved(tmp_path, 1, 2)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", CRASH, str(tmp_path), moment], cwd=root, env=environment)
    assert done.returncode == 9
    assert len(names(tmp_path)) == 3
    found, damaged = newest_checkpoint(tmp_path)
    assert found is not None and found.state["step"] == 2 and damaged == []
    fsutil.remove_leftovers(tmp_path)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


@pytest.mark.parametrize("moment", ["save_file", "fsync_file", "replace"])
def test_34_a_failing_write_keeps_the_old_ones_and_frees_its_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    saved(tmp_path, 1, 2)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fsutil if moment == "replace" else module, moment, full)
    with pytest.raises(OSError, match="No space"):
        saved(tmp_path, 3)
    assert names(tmp_path) == ["step-00000001", "step-00000002"]


def test_34_too_little_space_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder,) = saved(tmp_path, 1)
    size = sum(file.stat().st_size for file in folder.iterdir())
    free = SimpleNamespace(total=0, free=2 * size - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    with pytest.raises(UserError) as caught:
        saved(tmp_path, 2)
    assert caught.value.code == "disk_full"
    assert names(tmp_path) == ["step-00000001"]
    free.free = 2 * size
    saved(tmp_path, 2)
    assert len(names(tmp_path)) == 2


def test_files_are_safetensors_and_json_only(tmp_path: Path) -> None:
    (folder,) = saved(tmp_path, 1)
    assert names(folder) == ["adapter.safetensors", MANIFEST, "optimizer.safetensors", "state.json"]
    listing = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    assert sorted(listing) == ["adapter.safetensors", "optimizer.safetensors", "state.json"]
    assert all(len(entry["sha256"]) == 64 for entry in listing.values())
    # A zip or a pickle would start otherwise; safetensors start with the length of a JSON header.
    assert (folder / "adapter.safetensors").read_bytes()[8:9] == b"{"


def test_an_older_checkpoint_tells_its_optimizer_by_the_names_in_its_state() -> None:
    one = torch.zeros(1)
    for state, kind in (
        ({"exp_avg": one}, "AdamW"),
        ({"step": 1, "__bnb_optimizer_quant_state__": {"state1": one}}, "AdamW8bit"),
    ):
        assert optimizer_kind(Checkpoint(adapter={}, optimizer={0: state}, state={})) == kind
    assert optimizer_kind(Checkpoint(adapter={}, optimizer={}, state={"optimizer": "AdamW8bit"})) == "AdamW8bit"
