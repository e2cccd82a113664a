import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from layout_makers import TINY, Weights, diffusers_names, prefixed, transformer
from safetensors.torch import save_file

from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import load_transformer, transformer_dimensions
from trainer_core.model.layouts import open_transformer
from trainer_core.model.nextdit import NextDiT


def one_file(weights: Weights) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        save_file(weights, folder / "model.safetensors")
        return folder / "model.safetensors"

    return make


def dump(name: str, content: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        torch.save(content, folder / name)
        return folder / name

    return make


def shards(folder: Path, *, index: bool) -> Path:
    names = sorted(transformer())
    files = [f"diffusion_pytorch_model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    halves = [names[::2], names[1::2]]
    for file, half in zip(files, halves, strict=True):
        save_file({name: transformer()[name] for name in half}, folder / file)
    if index:
        weight_map = {name: file for file, half in zip(files, halves, strict=True) for name in half}
        (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def dump_folder(folder: Path) -> Path:
    """As the official trainer leaves it: weights, optimizer state and pickled arguments side by side."""
    torch.save(transformer(), folder / "consolidated.00-of-01.pth")
    torch.save({"step": 3}, folder / "optimizer.00000-of-00008.pth")
    (folder / "model_args.pth").write_bytes(b"\x80\x04cargparse\nNamespace\n.")
    return folder


def diffusers_folder(folder: Path) -> Path:
    save_file(diffusers_names(transformer()), folder / "diffusion_pytorch_model.safetensors")
    config = {
        "_class_name": "Lumina2Transformer2DModel",
        "patch_size": 2, "in_channels": 16, "hidden_size": 192, "num_layers": 6, "num_refiner_layers": 1,
        "num_attention_heads": 4, "num_kv_heads": 2, "axes_dim_rope": [16, 16, 16], "axes_lens": [300, 512, 512],
        "cap_feat_dim": 128,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    return folder


ALL_IN_ONE = prefixed("model.diffusion_model.", transformer()) | {
    "vae.decoder.conv_in.weight": torch.zeros(2),
    "text_encoders.gemma3.transformer.model.embed_tokens.weight": torch.zeros(2),
}
COMPILED = {name.replace("layers.", "layers._orig_mod.", 1): value for name, value in transformer().items()}
LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "official names": one_file(transformer()),
    "model.diffusion_model.": one_file(ALL_IN_ONE),
    "diffusion_model.": one_file(prefixed("diffusion_model.", transformer())),
    "model.": one_file(prefixed("model.", transformer())),
    "transformer.": one_file(prefixed("transformer.", transformer())),
    "diffusers names": one_file(diffusers_names(transformer())),
    "diffusers folder": diffusers_folder,
    "shards with index": lambda folder: shards(folder, index=True),
    "shards without index": lambda folder: shards(folder, index=False),
    "plain dump": dump("consolidated.00-of-01.pth", transformer()),
    "wrapped dump": dump("last.pt", {"model": transformer(), "step": 7}),
    "lightning checkpoint": dump("last.ckpt", {"state_dict": prefixed("model.", transformer()), "epoch": 1}),
    "distributed dump": dump("ddp.pth", {"module": prefixed("module._orig_mod.", COMPILED)}),
    "dump folder": dump_folder,
}


def velocity(model: NextDiT) -> torch.Tensor:
    g = torch.Generator().manual_seed(1)
    latents, text, pooled = (torch.randn(*s, generator=g) for s in ((1, 16, 4, 6), (1, 5, 128), (1, 128)))
    with torch.no_grad():
        return model.float()(latents, torch.tensor([0.4]), text, (5,), pooled)


@pytest.fixture(scope="module")
def official_velocity() -> torch.Tensor:
    return velocity(load_transformer(TINY / "transformer", dtype=torch.bfloat16))


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_the_official_one(name: str, tmp_path: Path, official_velocity: torch.Tensor) -> None:
    model = load_transformer(LAYOUTS[name](tmp_path), dtype=torch.bfloat16)
    loaded, official = model.state_dict(), transformer()
    # diffusers' naming leaves out a norm that no forward pass applies.
    skip = {"norm_final.weight"} if "diffusers" in name else set()
    assert loaded.keys() == official.keys()
    assert all(torch.equal(loaded[key], value) for key, value in official.items() if key not in skip)
    assert torch.equal(velocity(model), official_velocity)


def test_without_config_json_the_tensors_tell_the_sizes(tmp_path: Path) -> None:
    found = transformer_dimensions(one_file(transformer())(tmp_path))
    official = transformer_dimensions(TINY / "transformer")
    assert found.axes_lens == (1024, 512, 512) and official.axes_lens == (1024, 256, 256)
    assert replace(found, axes_lens=official.axes_lens) == official


@pytest.mark.parametrize("key, value", [("n_layers", 9), ("n_kv_heads", 4), ("in_channels", 4), ("cap_feat_dim", 64)])
def test_a_config_that_contradicts_its_weights_is_refused_with_both_values(
    key: str, value: int, tmp_path: Path
) -> None:
    folder = shutil.copytree(TINY / "transformer", tmp_path / "transformer")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {key: value}))
    with pytest.raises(UserError, match=f"{key} is {value} in config.json and {config[key]} in the weights") as caught:
        load_transformer(folder, dtype=torch.bfloat16)
    assert caught.value.code == "config_mismatch"


@pytest.mark.parametrize("value", [0, -2, "six", 2.5, None, True])
def test_a_config_value_that_is_no_size_is_refused(value: object, tmp_path: Path) -> None:
    folder = shutil.copytree(TINY / "transformer", tmp_path / "transformer")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_layers": value}))
    with pytest.raises(UserError, match="n_layers") as caught:
        transformer_dimensions(folder)
    assert caught.value.code == "config_unreadable"


def test_a_config_json_of_something_else_beside_a_single_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "gemma3"}')
    assert transformer_dimensions(one_file(transformer())(tmp_path)).n_layers == 6


def test_a_pickle_that_needs_code_is_refused_and_not_run(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    code = f"import pathlib; pathlib.Path({str(trace)!r}).touch()"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (code,)

    torch.save({"model": Payload()}, tmp_path / "evil.pth")
    with pytest.raises(UserError, match=r"never run here.*exec") as caught:
        open_transformer(tmp_path / "evil.pth")
    assert caught.value.code == "weights_unsafe" and not trace.exists()


def test_a_dump_that_was_named_safetensors_is_read_for_what_it_is(tmp_path: Path) -> None:
    """torch.load goes by the ending; a damaged one must not end in safetensors' own error."""
    weights = transformer()
    torch.save(weights, tmp_path / "x.safetensors")
    assert open_transformer(tmp_path / "x.safetensors").names() == sorted(weights)
    (tmp_path / "y.safetensors").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(UserError, match="not a readable torch file"):
        open_transformer(tmp_path / "y.safetensors")


@pytest.mark.parametrize("content", [b"PK\x03\x04 cut short", b"\x80\x02garbage", b"\x80\x04.", b"", b"\x00" * 40])
def test_damaged_files_are_said_to_be_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with pytest.raises(UserError) as caught:
        open_transformer(tmp_path / "x.pth")
    assert caught.value.code in ("weights_broken", "weights_unsafe", "weights_missing")


@pytest.mark.parametrize(
    "content, word",
    [
        (b"GGUF\x03\x00", "GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git"),
        (b"<!DOCTYPE html>", "web"),
    ],
)
def test_what_is_found_in_place_of_weights_is_named(content: bytes, word: str, tmp_path: Path) -> None:
    (tmp_path / "newbie.safetensors").write_bytes(content + b" " * 64)
    with pytest.raises(UserError, match=word):
        open_transformer(tmp_path / "newbie.safetensors")


def test_a_model_parallel_dump_is_refused(tmp_path: Path) -> None:
    for number in (0, 1):
        torch.save(transformer(), tmp_path / f"consolidated.0{number}-of-02.pth")
    with pytest.raises(UserError, match="model-parallel.*2 slices") as caught:
        open_transformer(tmp_path)
    assert caught.value.code == "weights_sharded"


def test_a_dump_beside_its_average_is_ambiguous(tmp_path: Path) -> None:
    dump("consolidated.00-of-01.pth", transformer())(tmp_path)
    path = dump("consolidated_ema.00-of-01.pth", transformer())(tmp_path)
    with pytest.raises(UserError, match="consolidated_ema") as caught:
        open_transformer(tmp_path)
    assert caught.value.code == "weights_ambiguous"
    open_transformer(path).close()


def test_a_missing_third_of_qkv_is_named(tmp_path: Path) -> None:
    weights = diffusers_names(transformer())
    del weights["layers.2.attn.to_v.weight"]
    with pytest.raises(UserError, match=r"layers\.2\.attn\.to_v\.weight"):
        open_transformer(one_file(weights)(tmp_path))


@pytest.mark.parametrize("names", [transformer, lambda: diffusers_names(transformer())])
def test_one_tensor_too_many_is_named(names: Callable[[], Weights], tmp_path: Path) -> None:
    path = one_file(names() | {"layers.0.attn.extra.weight": torch.zeros(1)})(tmp_path)
    with pytest.raises(UserError, match=r"layers\.0\.attn\.extra\.weight"):
        load_transformer(path, dtype=torch.bfloat16)


def test_two_transformers_in_one_file_are_ambiguous(tmp_path: Path) -> None:
    both = prefixed("a.", transformer()) | {f"b.{name}": value.clone() for name, value in transformer().items()}
    with pytest.raises(UserError, match="2 transformers") as caught:
        open_transformer(one_file(both)(tmp_path))
    assert caught.value.code == "weights_ambiguous"


def lumina2() -> Weights:
    return {name: value for name, value in transformer().items() if "clip_text_pooled_proj" not in name}


STRANGERS: dict[str, Weights] = {
    "Lumina Image 2": lumina2(),
    "Z-Image": lumina2() | {"x_pad_token": torch.zeros(1)},
    "FLUX": {"double_blocks.0.img_attn.qkv.weight": torch.zeros(1), "img_in.weight": torch.zeros(1)},
    "SDXL": {"model.diffusion_model.label_emb.0.0.weight": torch.zeros(1)},
    "Qwen-Image": {"transformer_blocks.0.img_mod.1.weight": torch.zeros(1)},
    "a LoRA": {"diffusion_model.layers.0.attention.qkv.lora_A.weight": torch.zeros(1)},
    "a Jina text encoder": {"model.encoder.layers.0.mixer.Wqkv.weight": torch.zeros(1)},
    "a Gemma text encoder": {"model.layers.0.pre_feedforward_layernorm.weight": torch.zeros(1)},
    "a VAE": {"decoder.conv_in.weight": torch.zeros(1)},
    "a.b.c": {"a.b.c": torch.zeros(1)},
}


@pytest.mark.parametrize("name", STRANGERS)
def test_another_model_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=name) as caught:
        open_transformer(one_file(STRANGERS[name])(tmp_path))
    assert caught.value.code == "wrong_model"


QUANTISED = {
    "layers.0.attention.qkv.scale_weight": torch.ones(1),
    "scaled_fp8": torch.ones(1),
    "layers.0.attention.qkv.weight.absmax": torch.ones(1),
    "layers.0.attention.qkv.weight": torch.zeros(384, 192).to(torch.float8_e4m3fn),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_weights_are_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=name) as caught:
        open_transformer(one_file(transformer() | {name: QUANTISED[name]})(tmp_path))
    assert caught.value.code == "weights_quantised"
