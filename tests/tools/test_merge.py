"""Merging: the merged model is base + adapter, the base folder stays untouched."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_base import TARGETS, WEIGHTS, quiet, snapshot, transformer, write_lokr, write_lora, write_peft
from torch import Tensor

from trainer_core.cli import main
from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import load_transformer
from trainer_core.model.weights import open_tensors
from trainer_core.planning.adapter import LoraShape
from trainer_core.planning.merged_loras import MergedLora, merged_into
from trainer_core.tools import convert
from trainer_core.tools.convert import to_comfyui
from trainer_core.tools.merge import merge
from trainer_core.training.adapters import add_adapter


def velocity(model: torch.nn.Module) -> Tensor:
    generator = torch.Generator().manual_seed(9)
    x, feats, pooled = (torch.randn(shape, generator=generator) for shape in ((2, 4, 8, 8), (2, 5, 12), (2, 10)))
    with torch.no_grad():
        return model(x, torch.tensor([0.2, 0.7]), feats, (5, 5), pooled)


def with_adapter(base: Path, file: Path, strength: float) -> Tensor:
    """Velocity of base + adapter, put together by PEFT."""
    model = load_transformer(base / "transformer", dtype=torch.float32)
    parameters = add_adapter(model, LoraShape(rank=2), targets=TARGETS, alpha=3.0 * strength, dropout=0.0, seed=0)
    tensors = load_file(file)
    with torch.no_grad():
        for name, parameter in parameters.items():
            half = name.replace("lora_A", "lora_down").replace("lora_B", "lora_up")
            parameter.copy_(tensors[f"diffusion_model.{half}.weight"])
    return velocity(model)


@pytest.mark.parametrize("strength", [1.0, 0.6, -1.0])
def test_the_merged_model_is_base_plus_adapter(base: Path, lora: Path, tmp_path: Path, strength: float) -> None:
    merged = merge(base, [(lora, strength)], tmp_path / "merged", quiet)
    found = velocity(load_transformer(merged / "transformer", dtype=torch.float32))
    torch.testing.assert_close(found, with_adapter(base, lora, strength), rtol=1e-4, atol=1e-5)
    assert (found - velocity(load_transformer(base / "transformer", dtype=torch.float32))).abs().max() > 1e-3


def delta(file: Path, name: str) -> Tensor:
    tensors = load_file(file)
    down, up = (tensors[f"diffusion_model.{name}.{half}.weight"] for half in ("lora_down", "lora_up"))
    return up @ down * (tensors[f"diffusion_model.{name}.alpha"] / down.shape[0])


def test_several_loras_add_up_each_with_its_strength(base: Path, lora: Path, tmp_path: Path) -> None:
    second = write_lora(base, tmp_path / "second.safetensors", seed=2, targets=["attention.qkv"], alpha=1.0)
    merged = load_file(merge(base, [(lora, 0.5), (second, 2.0)], tmp_path / "merged", quiet) / WEIGHTS)
    original = load_file(base / WEIGHTS)
    name = "layers.1.attention.qkv"
    wanted = original[f"{name}.weight"] + 0.5 * delta(lora, name) + 2.0 * delta(second, name)
    torch.testing.assert_close(merged[f"{name}.weight"], wanted)
    untouched = "layers.1.attention.out.weight"
    assert torch.equal(merged[untouched], original[untouched])


def test_a_lokr_is_merged_beside_a_lora(base: Path, lora: Path, tmp_path: Path) -> None:
    added = write_lokr(base, tmp_path / "lokr.safetensors")
    loras = [(tmp_path / "lokr.safetensors", 0.5), (lora, 2.0)]
    merged, original = load_file(merge(base, loras, tmp_path / "merged", quiet) / WEIGHTS), load_file(base / WEIGHTS)
    for name, change in added.items():
        wanted = original[f"{name}.weight"] + 0.5 * change + 2.0 * delta(lora, name)
        torch.testing.assert_close(merged[f"{name}.weight"], wanted)


def test_the_bases_dtype_is_kept_and_the_sum_is_made_in_fp32(base: Path, lora: Path, tmp_path: Path) -> None:
    original = {name: value.bfloat16() for name, value in load_file(base / WEIGHTS).items()}
    save_file(original, base / WEIGHTS)
    merged = load_file(merge(base, [(lora, 1.0)], tmp_path / "merged", quiet) / WEIGHTS)
    assert {value.dtype for value in merged.values()} == {torch.bfloat16}
    name = "layers.0.feed_forward.w2"
    assert torch.equal(merged[f"{name}.weight"], (original[f"{name}.weight"].float() + delta(lora, name)).bfloat16())


def test_the_rest_is_linked_and_the_base_never_written(
    base: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert, "LINKED_FROM_BYTES", (base / "vae" / "model.safetensors").stat().st_size)
    before = snapshot(base)
    merged = merge(base, [(lora, 1.0)], tmp_path / "merged", quiet)
    assert snapshot(base) == before
    assert snapshot(merged).keys() == before.keys()
    assert os.path.samefile(merged / "vae" / "model.safetensors", base / "vae" / "model.safetensors")
    assert not os.path.samefile(merged / WEIGHTS, base / WEIGHTS)
    (merged / "model_index.json").write_text("edited")
    assert snapshot(base) == before
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_where_links_cannot_be_made_files_are_copied(
    base: Path, lora: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(convert, "LINKED_FROM_BYTES", 1)
    monkeypatch.setattr(convert.os, "link", refused)
    merged = merge(base, [(lora, 1.0)], tmp_path / "merged", quiet)
    assert (merged / "vae" / "model.safetensors").read_bytes() == b"vae weights"
    assert not os.path.samefile(merged / "vae" / "model.safetensors", base / "vae" / "model.safetensors")


def test_parts_that_are_links_are_followed_and_hidden_files_left_out(base: Path, lora: Path, tmp_path: Path) -> None:
    (base / "vae").rename(tmp_path / "shared vae")
    (base / "vae").symlink_to(tmp_path / "shared vae", target_is_directory=True)
    (base / ".git").mkdir()
    (base / ".git" / "HEAD").write_text("x")
    merged = merge(base, [(lora, 1.0)], tmp_path / "merged", quiet)
    assert (merged / "vae" / "model.safetensors").read_bytes() == b"vae weights"
    assert not (merged / "vae").is_symlink() and not (merged / ".git").exists()


def test_shards_are_merged_file_by_file(base: Path, lora: Path, tmp_path: Path) -> None:
    whole = merge(base, [(lora, 1.0)], tmp_path / "whole", quiet)
    tensors = load_file(base / WEIGHTS)
    names = sorted(tensors)
    (base / WEIGHTS).unlink()
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        save_file({n: tensors[n] for n in part}, base / "transformer" / f"model-0000{number}-of-00002.safetensors")
    merged = merge(base, [(lora, 1.0)], tmp_path / "merged", quiet)
    found = velocity(load_transformer(merged / "transformer", dtype=torch.float32))
    torch.testing.assert_close(found, velocity(load_transformer(whole / "transformer", dtype=torch.float32)))


def shard(base: Path) -> None:
    """Spread the base's transformer over two indexed files."""
    tensors = load_file(base / WEIGHTS)
    names = sorted(tensors)
    (base / WEIGHTS).unlink()
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        file = f"diffusion_pytorch_model-0000{number}-of-00002.safetensors"
        save_file({n: tensors[n] for n in part}, base / "transformer" / file)
        weight_map |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (base / "transformer" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


def test_one_file_holds_what_the_folder_would(base: Path, lora: Path, tmp_path: Path) -> None:
    folder = merge(base, [(lora, 0.7)], tmp_path / "merged", quiet)
    shard(base)
    file = merge(base, [(lora, 0.7)], tmp_path / "out" / "merged.safetensors", quiet)
    found, wanted = load_file(file), load_file(folder / WEIGHTS)
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in found)
    with safe_open(file, framework="pt") as tensors:
        metadata = tensors.metadata()
    assert metadata["modelspec.architecture"] == "newbie-image" and metadata["modelspec.title"] == "merged"
    assert json.loads(metadata["newbie_merged_loras"]) == [{"name": "lora.safetensors", "strength": 0.7}]


def test_a_lora_that_is_merged_in_already_is_warned_of(base: Path, lora: Path, tmp_path: Path) -> None:
    other, told = write_lora(base, tmp_path / "other.safetensors", seed=2), []
    peft = tmp_path / "peft"
    write_peft(base, peft)
    folder = merge(base, [(lora, 0.7), (peft, 1.0)], tmp_path / "merged", quiet, told.append)
    file = merge(folder, [(other, 0.5)], tmp_path / "one.safetensors", quiet, told.append, dtype="fp16")
    again = to_comfyui(file, tmp_path / "two.safetensors", dtype=None, report=quiet)
    assert told == []
    merge(again, [(lora, 1.0), (peft, -1.0), (other, 0.5)], tmp_path / "three.safetensors", quiet, told.append)
    words = [sentence.partition(":")[0].removeprefix(f"{again} has ") for sentence in told]
    assert words == [
        f"{name}.safetensors merged in already (strength {s})" for name, s in (("lora", 0.7), ("other", 0.5))
    ]
    assert merged_into(tmp_path / "three.safetensors")[1] == MergedLora(name="peft", strength=1.0)


def test_the_ending_of_a_single_file_may_be_in_capitals(base: Path, lora: Path, tmp_path: Path) -> None:
    merged = merge(base, [(lora, 1.0)], tmp_path / "merged.SAFETENSORS", quiet)
    assert merged.is_file() and load_file(merged).keys() == load_file(base / WEIGHTS).keys()


def test_the_command_writes_the_format_that_is_asked_for(base: Path, lora: Path, tmp_path: Path) -> None:
    output = tmp_path / "merged.safetensors"
    assert main(["merge", f"--base={base}", f"--lora={lora}", f"--output={output}", "--dtype=fp16"]) == 0
    assert {value.dtype for value in load_file(output).values()} == {torch.float16}


def test_an_index_stays_true(base: Path, lora: Path, tmp_path: Path) -> None:
    whole = transformer(merge(base, [(lora, 1.0)], tmp_path / "whole", quiet))
    shard(base)
    merged = merge(base, [(lora, 1.0)], tmp_path / "merged", quiet)
    with open_tensors(merged / "transformer") as source:
        assert all(torch.equal(source.read(name), value) for name, value in whole.items())
        assert set(source.names()) == set(whole)


def test_other_versions_beside_the_weights_are_left_out(base: Path, lora: Path, tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, base / "transformer" / "diffusion_pytorch_model.fp16.safetensors")
    merged = merge(base, [(lora, 1.0)], tmp_path / "merged", quiet)
    assert [file.name for file in merged.glob("transformer/*.safetensors")] == [Path(WEIGHTS).name]


PEFT_OPTIONS = {
    "plain": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "rsdora": {"use_dora": True, "use_rslora": True},
    "patterns": {"rank_pattern": {"attention.qkv": 2}, "alpha_pattern": {"layers.0.attention.qkv": 9}},
}


@pytest.mark.parametrize("options", PEFT_OPTIONS)
def test_merging_agrees_with_pefts_own(base: Path, tmp_path: Path, options: str) -> None:
    wanted = write_peft(base, tmp_path / "peft", **PEFT_OPTIONS[options])
    found = transformer(merge(base, [(tmp_path / "peft", 1.0)], tmp_path / "merged", quiet))
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)
    assert (wanted["layers.0.attention.qkv.weight"] - load_file(base / WEIGHTS)["layers.0.attention.qkv.weight"]).any()


def test_a_doras_strength_scales_the_whole_change(base: Path, lora: Path, tmp_path: Path) -> None:
    full = write_peft(base, tmp_path / "peft", use_dora=True)
    original, name = load_file(base / WEIGHTS), "layers.1.feed_forward.w2"
    merged = transformer(merge(base, [(tmp_path / "peft", 0.3), (lora, 2.0)], tmp_path / "merged", quiet))
    before = original[f"{name}.weight"]
    wanted = before + 0.3 * (full[f"{name}.weight"] - before) + 2.0 * delta(lora, name)
    torch.testing.assert_close(merged[f"{name}.weight"], wanted, rtol=1e-5, atol=1e-6)


def test_progress_counts_bytes_and_notes_are_told(base: Path, tmp_path: Path) -> None:
    exports = tmp_path / "run" / "exports"
    exports.mkdir(parents=True)
    write_lora(base, exports / "ann-step-00000020.safetensors", seed=1)
    told: list[str] = []
    calls: list[tuple[int, int]] = []
    merge(
        base, [(tmp_path / "run", 1.0)], tmp_path / "m.safetensors", lambda n, d, t: calls.append((d, t)), told.append
    )
    assert calls == sorted(calls) and calls[-1][1] == sum(v.nbytes for v in load_file(base / WEIGHTS).values())
    assert len(told) == 1 and "ann-step-00000020.safetensors" in told[0]


def test_a_model_file_may_go_into_the_comfyui_folder_that_is_its_base(base: Path, lora: Path, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    for name in ("diffusion_models", "text_encoders"):
        (folder / name).mkdir(parents=True)
    shutil.copy(base / WEIGHTS, folder / "diffusion_models" / "newbie.safetensors")
    shutil.copy(base / "transformer" / "config.json", folder / "diffusion_models" / "config.json")
    told: list[str] = []
    merged = merge(folder, [(lora, 1.0)], folder / "diffusion_models" / "merged.safetensors", quiet, told.append)
    assert merged.is_file() and told == [
        f"{folder} now holds two transformers: as a base, give the file of the one that is meant."
    ]
    for inside in (base / "merged.safetensors", base / "transformer" / "merged.safetensors"):
        with pytest.raises(UserError, match="lies inside"):
            merge(base, [(lora, 1.0)], inside, quiet)
