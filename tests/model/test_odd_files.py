"""Damaged and odd files end in a UserError or in a loaded part, never in another exception."""

import json
import random
import struct
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from layout_makers import Weights, diffusers_names, gemma_file, jina_file, transformer, vae_file
from safetensors.torch import load_file, save_file

from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import load_transformer
from trainer_core.model.gemma import load_gemma
from trainer_core.model.jina import load_jina
from trainer_core.model.lora_files import read_lora
from trainer_core.model.vae import load_vae

PARTS: dict[str, tuple[Callable[[Path], object], Callable[..., object]]] = {
    "official": (lambda file: save_file(transformer(), file), load_transformer),
    "diffusers": (lambda file: save_file(diffusers_names(transformer()), file), load_transformer),
    "gemma": (lambda file: gemma_file(file, tokenizer=True), load_gemma),
    "jina": (lambda file: jina_file(file, tokenizer=True), load_jina),
    "vae": (vae_file, load_vae),
}


def spoiled(weights: Weights, rng: random.Random) -> Weights:
    """One tensor is lost, flattened, emptied, made a scalar, a whole number, or moved to layer one billion."""
    name = rng.choice([key for key in sorted(weights) if ".0." in key or "embed" in key or "conv_" in key])
    value = weights.pop(name)
    odd = {
        "flat": value.reshape(-1),
        "empty": value.new_zeros(0),
        "scalar": value.new_zeros(()),
        "whole": value.to(torch.int16),
        "narrow": value[:7].clone(),
    }
    how = rng.choice(["lost", "far", *odd])
    if how == "lost":
        return weights
    place = name.replace(".0.", ".1000000000.", 1) if how == "far" else name
    return weights | {place: odd.get(how, value)}


@pytest.mark.parametrize("part", PARTS)
def test_a_spoiled_tensor_is_a_user_error_or_does_not_matter(part: str, tmp_path: Path) -> None:
    make, load = PARTS[part]
    file = tmp_path / "part.safetensors"
    make(file)
    whole = load_file(file)
    refused = 0
    for seed in range(8):
        save_file(spoiled(dict(whole), random.Random(f"{part}{seed}")), file)
        try:
            load(file, dtype=torch.bfloat16)
        except UserError as error:
            refused += 1
            assert error.code.startswith(("weights_", "config_", "wrong_model"))
    assert refused >= 4


def test_the_form_that_torch_wrote_before_zip_files_is_read(tmp_path: Path) -> None:
    torch.save(transformer(), tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    loaded = load_transformer(tmp_path / "old.ckpt", dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in transformer().items())


def test_tens_of_thousands_of_keys_are_read_in_seconds(tmp_path: Path) -> None:
    shapes = {"lora_up.weight": [1, 1], "lora_down.weight": [1, 1], "alpha": []}
    names = [(f"diffusion_model.layers.{i}.{part}.{half}", shape) for i in range(1_700)
             for part in ("attention.qkv", "attention.out", "feed_forward.w1", "feed_forward.w2")
             for half, shape in shapes.items()]  # fmt: skip
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [4 * at, 4 * at + 4]}
                         for at, (name, shape) in enumerate(names)}).encode()  # fmt: skip
    file = tmp_path / "x.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<f", 1.0) * len(names))
    started = time.monotonic()
    assert len(read_lora(file).modules) == 6_800 and len(names) > 20_000
    assert time.monotonic() - started < 20
