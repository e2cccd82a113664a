"""Conversions of the built-in base: complete, bit-equal both ways, and lean."""

import errno
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peak_memory import growth
from safetensors.torch import load_file, save_file

from tests.model.layout_makers import (
    TINY,
    TOKENIZERS,
    comfy_folder,
    diffusers_names,
    gemma_file,
    jina_file,
    transformer,
)
from trainer_core.contracts.disk import SLACK_BYTES
from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import find_base, load_transformer
from trainer_core.model.gemma import load_gemma
from trainer_core.model.jina import load_jina
from trainer_core.model.vae import load_vae
from trainer_core.tools import convert as convert_module
from trainer_core.tools.convert import to_comfyui, to_official

WEIGHTS = Path("transformer") / "diffusion_pytorch_model.safetensors"
TEXTS = ["1girl, solo", ""]


def quiet(name: str, done: int, total: int) -> None:
    assert 0 <= done <= total and name


def official(output: Path, path: Path | None = TINY, *, dtype: torch.dtype | None = None, **parts: Path) -> Path:
    return to_official(find_base(path, **parts), output, dtype=dtype, report=quiet)


def same_weights(file: Path, skip: str = "") -> bool:
    found, wanted = load_file(file), transformer()
    return found.keys() == wanted.keys() and all(torch.equal(found[n], wanted[n]) for n in wanted if n != skip)


def features(root: Path) -> list[torch.Tensor]:
    base = find_base(root)
    codec = load_vae(base.vae, dtype=torch.float32)
    picture = torch.linspace(-1, 1, 3 * 32 * 32).view(1, 3, 32, 32)
    return [
        load_gemma(base.text_encoder, dtype=torch.float32).encode(TEXTS).hidden,
        load_jina(base.clip_model, dtype=torch.float32).encode(TEXTS).pooled,
        codec.model.encode(picture).latent_dist.mode().detach(),
    ]


def test_there_and_back_is_bit_equal(tmp_path: Path) -> None:
    file = to_comfyui(TINY / "transformer", tmp_path / "newbie.safetensors", dtype=None, report=quiet)
    assert same_weights(file)
    assert same_weights(official(tmp_path / "back", transformer=file) / WEIGHTS)


def test_the_ending_of_the_file_may_be_in_capitals(tmp_path: Path) -> None:
    assert same_weights(to_comfyui(TINY / "transformer", tmp_path / "A.SAFETENSORS", dtype=None, report=quiet))


def pth(folder: Path) -> Path:
    torch.save({"model": transformer()}, folder / "consolidated.00-of-01.pth")
    return folder / "consolidated.00-of-01.pth"


def split(folder: Path) -> Path:
    names = sorted(transformer())
    for number, half in ((1, names[:99]), (2, names[99:])):
        save_file({n: transformer()[n] for n in half}, folder / f"model-0000{number}-of-00002.safetensors")
    return folder


def lumina(folder: Path) -> Path:
    save_file(diffusers_names(transformer()), folder / "diffusion_pytorch_model.safetensors")
    return folder / "diffusion_pytorch_model.safetensors"


@pytest.mark.parametrize("make, skip", [(pth, ""), (split, ""), (lumina, "norm_final.weight")])
def test_from_every_transformer_layout(make: Callable[[Path], Path], skip: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    assert same_weights(official(tmp_path / "out", transformer=make(tmp_path / "in")) / WEIGHTS, skip)


def test_the_official_folder_is_complete_and_computes_the_same(tmp_path: Path) -> None:
    output = official(tmp_path / "out", comfy_folder(tmp_path / "models"))
    for part, extra in (("transformer", ()), ("vae", ()), ("text_encoder", (1,)), ("clip_model", (1,))):
        names = {file.name for file in (output / part).iterdir()}
        assert {"config.json"} < names and (not extra or {"tokenizer.json", "tokenizer_config.json"} < names)
    assert json.loads((output / "model_index.json").read_text())["_class_name"] == "NewbiePipeline"
    assert all(torch.equal(a, b) for a, b in zip(features(output), features(TINY), strict=True))
    loaded = load_transformer(output / "transformer", dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in transformer().items())
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_official_keys_of_the_config(tmp_path: Path) -> None:
    config = json.loads((official(tmp_path / "out") / "transformer" / "config.json").read_text())
    wanted = json.loads((TINY / "transformer" / "config.json").read_text())
    assert {key: config[key] for key in wanted if key in config} == {k: v for k, v in wanted.items() if k != "qk_norm"}


def test_what_need_not_change_is_linked_and_small_files_are_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert_module, "LINKED_FROM_BYTES", 2**16)
    base = shutil.copytree(TINY, tmp_path / "base")
    (base / "text_encoder" / ".cache").mkdir()
    (base / "text_encoder" / "pytorch_model.bin").write_bytes(b"x")
    (base / "clip_model" / "modeling_clip.py").write_text("raise SystemExit")
    output = official(tmp_path / "out", base)
    assert (output / "vae" / "diffusion_pytorch_model.safetensors").stat().st_nlink == 2
    assert (output / "text_encoder" / "config.json").stat().st_nlink == 1
    names = {file.relative_to(output).as_posix() for file in output.rglob("*")}
    assert not names & {"text_encoder/.cache", "text_encoder/pytorch_model.bin", "clip_model/modeling_clip.py"}
    assert "LICENSE.txt" in names


def test_a_dtype_is_applied_to_every_part_and_the_adapter_stays(tmp_path: Path) -> None:
    output = official(tmp_path / "out", dtype=torch.float32)
    for part in ("transformer", "text_encoder", "clip_model", "vae"):
        weights = load_file(next((output / part).glob("*.safetensors")))
        stored = load_file(next((TINY / part).glob("*.safetensors")))
        assert weights.keys() == stored.keys() and {value.dtype for value in weights.values()} == {torch.float32}
        assert all(torch.equal(weights[name], value.float()) for name, value in stored.items())
    assert all(torch.equal(a, b) for a, b in zip(features(output), features(TINY), strict=True))


def test_a_sentencepiece_model_becomes_tokenizer_files(tmp_path: Path) -> None:
    spiece = (TOKENIZERS / "xlmr.model").read_bytes()
    jina = jina_file(tmp_path / "jina.safetensors", spiece=spiece)
    gemma = gemma_file(tmp_path / "gemma.safetensors", tokenizer=True)
    output = official(tmp_path / "out", gemma=gemma, clip=jina)
    before, after = (load_jina(path, dtype=torch.float32) for path in (jina, output / "clip_model"))
    assert torch.equal(before.encode(TEXTS).pooled, after.encode(TEXTS).pooled)
    assert "spiece_model" not in load_file(output / "clip_model" / "model.safetensors")


def test_fp16_that_would_overflow_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    weights = transformer()
    weights["layers.3.ffn_norm1.weight"] = weights["layers.3.ffn_norm1.weight"].clone().fill_(1e6)
    save_file(weights, tmp_path / "big.safetensors")
    with pytest.raises(UserError, match=r"layers\.3\.ffn_norm1\.weight") as caught:
        official(tmp_path / "out", transformer=tmp_path / "big.safetensors", dtype=torch.float16)
    assert caught.value.code == "dtype_overflow" and {p.name for p in tmp_path.iterdir()} == {"big.safetensors"}


def test_an_existing_output_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    for write in (official, lambda path: to_comfyui(TINY, path / "mine.safetensors", dtype=None, report=quiet)):
        (tmp_path / "out" / "mine.safetensors").write_text("keep")
        with pytest.raises(UserError) as caught:
            write(tmp_path / "out")
        assert caught.value.code == "output_exists"
    with pytest.raises(UserError, match=r"must end in \.safetensors"):
        to_comfyui(TINY, tmp_path / "new", dtype=None, report=quiet)
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30, 2**20))
    for write in (official, lambda path: to_comfyui(TINY / "transformer", path, dtype=None, report=quiet)):
        with pytest.raises(UserError, match=r"MiB needed, 1\.0 free") as caught:
            write(tmp_path / "new.safetensors")
        assert caught.value.code == "disk_full" and list(tmp_path.iterdir()) == []


def test_a_wrong_transformer_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    weights = transformer() | {"layers.0.extra.weight": torch.zeros(1)}
    save_file(weights, tmp_path / "x.safetensors")
    with pytest.raises(UserError, match=r"layers\.0\.extra\.weight"):
        official(tmp_path / "out", transformer=tmp_path / "x.safetensors")
    assert not (tmp_path / "out").exists()


def test_stopping_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    def stop(name: str, done: int, total: int) -> None:
        if done > total // 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        to_official(find_base(TINY), tmp_path / "out", dtype=torch.float32, report=stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="measured through Linux's smaps")
def test_memory_grows_by_less_than_the_largest_shard(
    tmp_path: Path, record_figure: Callable[[str, float], None]
) -> None:
    largest = min(synthetic(tmp_path / form, form) for form in ("shards", "pth"))
    found = [
        growth(converted, tmp_path / form, dtype)
        for form, dtype in (("shards", None), ("shards", torch.float32), ("pth", None))
    ]
    record_figure("convert: anonymous memory at most, of the largest shard", max(found) / largest)
    assert max(found) <= 1.3 * largest


def converted(source: Path, dtype: torch.dtype | None) -> None:
    output = source.with_suffix(".safetensors")
    to_comfyui(source, output, dtype=dtype, report=quiet)
    output.unlink()


def synthetic(folder: Path, form: str) -> int:
    """A transformer of some 250 MB in two shards or one dump; returns the largest file's size in bytes."""
    from trainer_core.model.nextdit import NextDiT

    folder.mkdir()
    with torch.device("meta"):
        model = NextDiT(dim=1152, n_layers=3, n_refiner_layers=1, n_heads=12, n_kv_heads=4)
    weights = {n: torch.full(v.shape, 0.5, dtype=torch.bfloat16) for n, v in model.state_dict().items()}
    if form == "pth":
        torch.save(weights, folder / "consolidated.00-of-01.pth")
    else:
        names = sorted(weights)
        for number, half in ((1, names[::2]), (2, names[1::2])):
            save_file({name: weights[name] for name in half}, folder / f"model-0000{number}-of-00002.safetensors")
    return max(file.stat().st_size for file in folder.iterdir())


def test_a_disk_that_fills_up_is_said_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(convert_module, "write_tensors", full)
    with pytest.raises(UserError) as caught:
        official(tmp_path / "out")
    assert caught.value.code == "disk_full" and list(tmp_path.iterdir()) == []


def test_linked_weights_need_no_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    room = (TINY / WEIGHTS).stat().st_size + SLACK_BYTES
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 0, room))
    assert official(tmp_path / "out").is_dir()
    with pytest.raises(UserError, match="needed"):
        official(tmp_path / "out2", dtype=torch.float32)
