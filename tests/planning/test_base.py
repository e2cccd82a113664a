"""Reading a base's sizes from headers: the built-in base, odd files, and nothing at all."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.model.layout_makers import comfy_folder, diffusers_base
from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import load_transformer
from trainer_core.model.gemma import load_gemma
from trainer_core.model.jina import load_jina_tower
from trainer_core.model.vae import load_vae
from trainer_core.planning.base import BaseSizes, read_base
from trainer_core.planning.headers import HeaderProblem, read_header
from trainer_core.planning.part_check import header_at
from trainer_core.planning.part_sizes import GEMMA, JINA, VAE
from trainer_core.planning.shapes import Dimensions, parameter_count

TINY = Path(__file__).parents[2] / "assets" / "newbie-tiny"


def config(**values: object) -> TrainConfig:
    return TrainConfig(**{"base_model_path": "/no/such/base", "train_data_dir": "x", **values})  # type: ignore[arg-type]


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def test_the_built_in_base_is_measured_as_it_is_loaded():
    sizes = read_base(config(base_model_path=str(TINY)))
    assert sizes.assumed == ()
    assert parameter_count(sizes.transformer) == count(load_transformer(TINY / "transformer", dtype=torch.float32))
    assert sizes.gemma.parameters == count(load_gemma(TINY / "text_encoder", dtype=torch.float32).model)
    assert sizes.jina.parameters == count(load_jina_tower(TINY / "clip_model", dtype=torch.float32))
    assert sizes.vae.parameters == count(load_vae(TINY / "vae", dtype=torch.float32).model)
    assert (sizes.gemma.hidden, sizes.jina.hidden, sizes.vae.channels) == (128, 128, 16)


@pytest.mark.parametrize("make", [diffusers_base, comfy_folder])
def test_the_same_base_has_the_same_sizes_in_every_layout(make: Callable[[Path], Path], tmp_path: Path):
    sizes = read_base(config(base_model_path=str(make(tmp_path / "base"))))
    official = read_base(config(base_model_path=str(TINY)))
    # No tensor states how far its positions reach.
    transformer = replace(sizes.transformer, axes_lens=official.transformer.axes_lens)
    assert replace(sizes, transformer=transformer) == official


def test_what_a_base_lacks_is_taken_as_released_and_the_rest_is_measured(tmp_path: Path):
    shutil.copytree(TINY, tmp_path / "base", ignore=lambda folder, names: {"vae"})
    sizes = read_base(config(base_model_path=str(tmp_path / "base")))
    assert replace(sizes, assumed=()) == replace(read_base(config(base_model_path=str(TINY))), vae=VAE)
    assert [text.split(":")[0] for text in sizes.assumed] == ["vae"]


def test_a_transformer_in_torchs_own_format_is_taken_as_released(tmp_path: Path):
    torch.save({"x": torch.zeros(1)}, tmp_path / "model.pth")
    sizes = read_base(config(base_model_path=str(TINY), transformer_path=str(tmp_path / "model.pth")))
    assert sizes.transformer == Dimensions() and "torch's own file" in sizes.assumed[0]


def test_released_encoder_sizes_are_those_of_the_real_modules():
    from diffusers import AutoencoderKL
    from transformers import Gemma3TextConfig, Gemma3TextModel

    with torch.device("meta"):
        gemma = Gemma3TextModel(
            Gemma3TextConfig(
                vocab_size=262_208, hidden_size=2560, num_hidden_layers=33, num_attention_heads=8,
                num_key_value_heads=4, head_dim=256, intermediate_size=10_240,
            )
        )  # fmt: skip
        vae = AutoencoderKL(
            in_channels=3, out_channels=3, latent_channels=16, block_out_channels=(128, 256, 512, 512),
            layers_per_block=2, down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, use_quant_conv=False, use_post_quant_conv=False,
        )  # fmt: skip
    assert GEMMA.parameters == count(gemma) - count(gemma.norm)
    assert VAE.parameters == count(vae)
    width, hidden, layers = 1024, 4096, 24
    layer = 4 * width * (width + 1) + width * hidden * 2 + hidden + width + 4 * width
    assert JINA.parameters == 250_002 * width + width + 2 * width + layers * layer


def test_parts_that_are_not_there_are_taken_as_released_and_named():
    sizes = read_base(config(gemma_model_path="google/gemma-3-4b-it"))
    assert replace(sizes, assumed=()) == BaseSizes()
    assert [text.split(":")[0] for text in sizes.assumed] == ["transformer", "text_encoder", "clip_model", "vae"]
    assert "google/gemma-3-4b-it" in sizes.assumed[1]


def test_a_single_file_under_a_prefix_tells_its_dimensions(tmp_path: Path):
    stored = header_at("transformer", TINY / "transformer")
    file = tmp_path / "unet.safetensors"
    save_file({f"model.diffusion_model.{name}": torch.zeros(tensor.shape) for name, tensor in stored.items()}, file)
    expected = replace(read_base(config(base_model_path=str(TINY))).transformer, axes_lens=Dimensions().axes_lens)
    assert read_base(config(transformer_path=str(file))).transformer == expected != Dimensions()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 4,
        b"\xff" * 64,
        (20).to_bytes(8, "little") + b"{" * 20,
        (2).to_bytes(8, "little") + b"[]",
        (24).to_bytes(8, "little") + b'{"a":{"shape":[1,"2"]}} ',
        (18).to_bytes(8, "little") + b'{"a":{"shape":3}} ',
        (1 << 40).to_bytes(8, "little") + b"{}",
    ],
)
def test_what_is_no_safetensors_file_is_a_problem_and_no_crash(content: bytes, tmp_path: Path):
    file = tmp_path / "x.safetensors"
    file.write_bytes(content)
    with pytest.raises(HeaderProblem, match="not a safetensors file"):
        read_header(file)
    assert "taken as released" in read_base(config(vae_path=str(file))).assumed[-1]


def test_shards_are_read_together_and_a_lost_one_is_told(tmp_path: Path):
    for number in (1, 2):
        save_file({f"t{number}": torch.zeros(number)}, tmp_path / f"model-0000{number}-of-00002.safetensors")
    index = {"weight_map": {f"t{n}": f"model-0000{n}-of-00002.safetensors" for n in (1, 2)}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert {name: t.shape for name, t in header_at("vae", tmp_path).items()} == {"t1": (1,), "t2": (2,)}
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match="lacks part of its weights"):
        header_at("vae", tmp_path)


def test_an_estimate_reads_the_files_that_the_loader_reads(tmp_path: Path):
    for name in ("a", "b"):
        save_file({name: torch.zeros(2)}, tmp_path / f"{name}.safetensors")
    assert {name: t.shape for name, t in header_at("vae", tmp_path).items()} == {"a": (2,), "b": (2,)}
