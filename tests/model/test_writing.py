import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from trainer_core.model.writing import DTYPE_NAMES, Entry, write_tensors


def entries_of(tensors: dict[str, torch.Tensor]) -> list[Entry]:
    return [Entry(name=name, dtype=value.dtype, shape=tuple(value.shape)) for name, value in tensors.items()]


def test_the_library_reads_what_was_written(tmp_path: Path) -> None:
    tensors = {f"dtype {name}": torch.arange(6).reshape(2, 3).to(dtype) for dtype, name in DTYPE_NAMES.items()}
    tensors |= {"名": torch.randn(3, 4).T, "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4)}
    write_tensors(tmp_path / "a.safetensors", entries_of(tensors), tensors.__getitem__, metadata={"k": "値"})
    found = load_file(tmp_path / "a.safetensors")
    assert found.keys() == tensors.keys() and all(found[n].dtype == tensors[n].dtype for n in found)
    assert all(bytes(found[n].reshape(-1).view(torch.uint8)) == bytes(tensors[n].reshape(-1).view(torch.uint8))
               for n in found)  # fmt: skip
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        assert file.metadata() == {"k": "値"}


def test_a_wrong_tensor_leaves_the_old_file_and_no_half_one(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file({"x": torch.zeros(2)}, file)
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"x: .*float32 \(3,\)"):
        write_tensors(file, [Entry(name="x", dtype=torch.float32, shape=(2,))], lambda name: torch.zeros(3))
    assert file.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_each_tensor_starts_at_a_multiple_of_its_own_size(tmp_path: Path) -> None:
    tensors = {"b": torch.zeros(3, dtype=torch.bfloat16), "c": torch.zeros(1), "a": torch.zeros(1, dtype=torch.uint8)}
    write_tensors(tmp_path / "x", entries_of(tensors), tensors.__getitem__)
    header = json.loads((tmp_path / "x").read_bytes()[8:].split(b"}}")[0] + b"}}")
    assert {name: place["data_offsets"][0] for name, place in header.items()} == {"c": 0, "b": 4, "a": 10}


def test_progress_is_told_in_bytes_and_may_stop(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    tensors = {"a": torch.zeros(2), "b": torch.zeros(1, dtype=torch.bfloat16)}
    write_tensors(tmp_path / "a", entries_of(tensors), tensors.__getitem__, report=lambda *args: told.append(args))
    assert told == [("a", 0, 10), ("b", 8, 10)]
