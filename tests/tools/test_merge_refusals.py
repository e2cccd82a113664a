"""What merging refuses, by name, leaving nothing behind: misfits, odd numbers, outputs that are there."""

import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_base import WEIGHTS, quiet, snapshot, write_base
from torch import Tensor

from trainer_core.contracts import fsutil
from trainer_core.contracts.errors import UserError
from trainer_core.tools import merge as module
from trainer_core.tools.merge import merge


def renamed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("layers.1.", "layers.7."): value for name, value in tensors.items()}


def reshaped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    name = "diffusion_model.layers.1.attention.qkv.lora_down.weight"
    return {**tensors, name: torch.zeros(2, 99)}


@pytest.mark.parametrize(("spoil", "named"), [(renamed, "layers.7.feed_forward.w2"), (reshaped, "layers.1.attention")])
def test_a_lora_that_fits_only_partly_is_refused(
    base: Path, lora: Path, tmp_path: Path, spoil: Callable[[dict[str, Tensor]], dict[str, Tensor]], named: str
) -> None:
    save_file(spoil(load_file(lora)), lora)
    with pytest.raises(UserError, match=named) as caught:
        merge(base, [(lora, 1.0)], tmp_path / "merged", quiet)
    assert caught.value.code == "lora_mismatch"
    assert not (tmp_path / "merged").exists()


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), -101.0])
def test_strengths_that_are_no_numbers_are_refused(base: Path, lora: Path, tmp_path: Path, strength: float) -> None:
    with pytest.raises(UserError, match="Strength"):
        merge(base, [(lora, strength)], tmp_path / "merged", quiet)


@pytest.mark.parametrize(("place", "code"), [("full", "output_exists"), ("file", "output_exists"),
                                            ("base/merged", "output_invalid"), ("base", "output_exists")])  # fmt: skip
def test_outputs_that_would_overwrite_something_are_refused(
    base: Path, lora: Path, tmp_path: Path, place: str, code: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("kept")
    (tmp_path / "file").write_text("kept")
    before = snapshot(tmp_path)
    with pytest.raises(UserError) as caught:
        merge(base, [(lora, 1.0)], tmp_path / place, quiet)
    assert caught.value.code == code
    assert snapshot(tmp_path) == before


def test_a_failure_on_the_way_leaves_nothing(
    base: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "fsync_file", full)
    monkeypatch.setattr(fsutil, "fsync_file", full)
    before = snapshot(tmp_path)
    for name in ("merged", "merged.safetensors"):
        with pytest.raises(UserError, match="could not be written: No space") as caught:
            merge(base, [(lora, 1.0)], tmp_path / name, quiet)
        assert caught.value.code == "disk_full"
    assert snapshot(tmp_path) == before


def test_space_is_asked_for_before_writing(
    base: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(total=20, free=10))
    for name in ("merged", "merged.safetensors"):
        with pytest.raises(UserError, match=r"MiB needed, 0\.0 free") as caught:
            merge(base, [(lora, 1.0)], tmp_path / name, quiet)
        assert caught.value.code == "disk_full" and not (tmp_path / name).exists()


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8, torch.uint8])
def test_quantised_bases_are_refused(base: Path, lora: Path, tmp_path: Path, dtype: torch.dtype) -> None:
    tensors = load_file(base / WEIGHTS)
    save_file(tensors | {"layers.0.attention.out.weight": torch.zeros(24, 24).to(dtype)}, base / WEIGHTS)
    for name in ("merged", "merged.safetensors"):
        with pytest.raises(UserError, match=r"layers\.0\.attention\.out\.weight") as caught:
            merge(base, [(lora, 1.0)], tmp_path / name, quiet)
        assert caught.value.code == "weights_quantised" and not (tmp_path / name).exists()


def without_a_shard(base: Path, lost: str) -> None:
    """A base of two shards without an index, one of which lacks the tensor `lost`."""
    tensors = load_file(base / WEIGHTS)
    names = sorted(tensors)
    (base / WEIGHTS).unlink()
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        kept = {name: tensors[name] for name in part if name != lost}
        save_file(kept, base / "transformer" / f"model-0000{number}-of-00002.safetensors")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda base: without_a_shard(base, "layers.1.attention.out.weight"), r"1 missing: layers\.1\.attention\.out"),
        (lambda base: save_file(load_file(base / WEIGHTS) | {"extra.weight": torch.ones(2)}, base / WEIGHTS), "extra"),
        (
            lambda base: save_file(load_file(base / WEIGHTS) | {"x_embedder.bias": torch.ones(2)}, base / WEIGHTS),
            r"x_embedder\.bias \[2\] instead of",
        ),
    ],
)
def test_a_base_with_tensors_missing_unknown_or_misshapen_is_refused(
    base: Path, lora: Path, tmp_path: Path, change: Callable[[Path], None], named: str
) -> None:
    change(base)
    for name in ("merged", "merged.safetensors"):
        with pytest.raises(UserError, match=named) as caught:
            merge(base, [(lora, 1.0)], tmp_path / name, quiet)
        assert caught.value.code == "weights_mismatch" and not (tmp_path / name).exists()


def test_no_folder_is_made_of_a_single_file(base: Path, lora: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"single file.*cannot become") as caught:
        merge(base / WEIGHTS, [(lora, 1.0)], tmp_path / "merged", quiet)
    assert caught.value.code == "output_invalid"
    assert merge(base / WEIGHTS, [(lora, 1.0)], tmp_path / "merged.safetensors", quiet).is_file()


@pytest.mark.parametrize("name", ["merged.pt", "merged.SFT", "merged.gguf"])
def test_no_folder_is_made_under_a_files_name(base: Path, lora: Path, tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="is named like a file") as caught:
        merge(base, [(lora, 1.0)], tmp_path / name, quiet)
    assert caught.value.code == "output_invalid" and not (tmp_path / name).exists()


def test_no_folder_is_made_of_weights_under_other_names(lora: Path, tmp_path: Path) -> None:
    other = write_base(tmp_path / "other")
    tensors = load_file(other / WEIGHTS)
    save_file({f"model.diffusion_model.{name}": value for name, value in tensors.items()}, other / WEIGHTS)
    with pytest.raises(UserError, match="does not store the official names") as caught:
        merge(other, [(lora, 1.0)], tmp_path / "merged", quiet)
    assert caught.value.code == "output_invalid" and not (tmp_path / "merged").exists()
    assert merge(other, [(lora, 1.0)], tmp_path / "merged.safetensors", quiet).is_file()


@pytest.mark.parametrize("name", ["diffusion_pytorch_model.bin", "consolidated.00-of-01.pth"])
def test_pickled_weights_give_one_file_and_no_folder(base: Path, lora: Path, tmp_path: Path, name: str) -> None:
    tensors = load_file(base / WEIGHTS)
    (base / WEIGHTS).unlink()
    torch.save(tensors, base / "transformer" / name)
    with pytest.raises(UserError, match=r"holds no \.safetensors files") as caught:
        merge(base, [(lora, 1.0)], tmp_path / "merged", quiet)
    assert caught.value.code == "output_invalid" and "ends in .safetensors" in caught.value.hints[0]
    assert merge(base, [(lora, 1.0)], tmp_path / "merged.safetensors", quiet).is_file()


@pytest.mark.parametrize("dtype", ["keep", "fp16"])
def test_a_sum_that_fp16_cannot_hold_is_refused(base: Path, lora: Path, tmp_path: Path, dtype: str) -> None:
    save_file({name: value.half() for name, value in load_file(base / WEIGHTS).items()}, base / WEIGHTS)
    save_file({name: value * 1e4 for name, value in load_file(lora).items()}, lora)
    for name in ("merged", "merged.safetensors"):
        with pytest.raises(UserError, match=r"qkv.weight holds values beyond what fp16 can") as caught:
            merge(base, [(lora, 1.0)], tmp_path / name, quiet, dtype=dtype)
        assert caught.value.code == "dtype_overflow" and not (tmp_path / name).exists()
    assert merge(base, [(lora, 1.0)], tmp_path / "m.safetensors", quiet, dtype="bf16").is_file()
