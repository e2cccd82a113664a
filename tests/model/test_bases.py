"""A base model is the same base model in every layout: parts found, loaded, and giving the same features."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from layout_makers import TINY, comfy_folder, diffusers_base, gemma_file, jina_file, transformer, vae_file
from safetensors.torch import save_file

from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import BaseFolder, find_base, load_transformer
from trainer_core.model.gemma import load_gemma
from trainer_core.model.jina import load_jina
from trainer_core.model.vae import load_vae

TEXTS = ["1girl, solo", "", "<n>$character_1$</n> blue hair, smile"]


def assert_same_features(base: BaseFolder) -> None:
    """Every loader takes its part's path and gives what the official folder gives."""
    official = find_base(TINY)
    ours, theirs = (load_gemma(b.text_encoder, dtype=torch.float32).encode(TEXTS) for b in (base, official))
    assert torch.equal(ours.hidden, theirs.hidden) and torch.equal(ours.mask, theirs.mask)
    pooled = [load_jina(b.clip_model, dtype=torch.float32).encode(TEXTS).pooled for b in (base, official)]
    assert torch.equal(*pooled)
    picture = torch.rand(1, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        codecs = [load_vae(b.vae, dtype=torch.float32) for b in (base, official)]
        latents = [codec.model.encode(picture).latent_dist.mode() for codec in codecs]
        assert torch.equal(*latents)
        assert torch.equal(*(codec.model.decode(latents[0]).sample for codec in codecs))
    models = [load_transformer(b.transformer, dtype=torch.bfloat16).state_dict() for b in (base, official)]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[1] if name != "norm_final.weight")


def test_diffusers_layout(tmp_path: Path) -> None:
    base = find_base(diffusers_base(tmp_path / "base"))
    assert base.layout == "diffusers" and base.clip_model.name == "text_encoder_2"
    assert_same_features(base)


@pytest.mark.parametrize("inner", ["", "models", "split_files"])
def test_comfyui_folder(inner: str, tmp_path: Path) -> None:
    comfy_folder(tmp_path / inner)
    base = find_base(tmp_path)
    assert base.layout == "comfyui" and base.text_encoder.name == "gemma_3_4b_it_bf16.safetensors"
    if not inner:
        assert_same_features(base)


def test_part_by_part(tmp_path: Path) -> None:
    save_file(transformer(), tmp_path / "newbie.safetensors")
    gemma = gemma_file(tmp_path / "te" / "gemma.safetensors", tokenizer=True)
    jina = jina_file(tmp_path / "te2" / "jina.safetensors", tokenizer=True)
    vae = vae_file(tmp_path / "ae.safetensors")
    base = find_base(None, transformer=tmp_path / "newbie.safetensors", gemma=gemma, clip=jina.parent, vae=vae)
    assert (base.layout, base.clip_model, base.root) == ("parts", jina, tmp_path / "newbie.safetensors")
    assert_same_features(base)


def test_one_part_replaces_that_of_a_base(tmp_path: Path) -> None:
    vae = vae_file(tmp_path / "other" / "ae.safetensors")
    base = find_base(TINY, vae=vae)
    assert base.vae == vae and base.transformer == TINY / "transformer" and base.layout == "official"
    # A whole base given for one part means that part of it.
    assert find_base(TINY, clip=TINY).clip_model == TINY / "clip_model"


def test_a_part_may_be_absent_from_the_folder_if_it_is_given(tmp_path: Path) -> None:
    root = shutil.copytree(TINY, tmp_path / "base")
    shutil.rmtree(root / "vae")
    assert find_base(root, vae=TINY / "vae").vae == TINY / "vae"
    with pytest.raises(UserError, match="vae") as caught:
        find_base(root)
    assert any("vae_path" in hint for hint in caught.value.hints)


def test_what_is_not_given_is_named_by_its_option(tmp_path: Path) -> None:
    save_file(transformer(), tmp_path / "newbie.safetensors")
    for path in (tmp_path / "newbie.safetensors", None):
        with pytest.raises(UserError, match="lacks") as caught:
            find_base(path, vae=TINY / "vae")
        assert caught.value.code == "base_incomplete" and "gemma_model_path" in caught.value.hints[0]
    with pytest.raises(UserError, match="clip_model_path.*does not exist"):
        find_base(TINY, clip=tmp_path / "nowhere")


def test_two_candidates_in_comfyui_are_ambiguous_until_one_is_named(tmp_path: Path) -> None:
    root = comfy_folder(tmp_path)
    second = root / "diffusion_models" / "sub" / "finetune.safetensors"
    second.parent.mkdir()
    save_file(transformer(), second)
    with pytest.raises(UserError, match="finetune") as caught:
        find_base(root)
    assert caught.value.code == "base_ambiguous" and "transformer_path" in caught.value.hints[0]
    # merge has no such option, and takes a single file.
    assert "give the right file itself" in caught.value.hints[1]
    assert find_base(root, transformer=second).transformer == second


@pytest.mark.parametrize(
    "part, name", [("diffusion_models", "transformer"), ("text_encoders", "text_encoder"), ("vae", "vae")]
)
def test_an_absent_part_of_a_comfyui_folder_is_named(part: str, name: str, tmp_path: Path) -> None:
    root = comfy_folder(tmp_path)
    for file in (root / part).iterdir():
        if file.is_file():
            file.unlink()
    with pytest.raises(UserError, match=f"no {name}") as caught:
        find_base(root)
    assert caught.value.code == "base_incomplete"


def test_a_quantised_file_in_comfyui_is_passed_over_and_named(tmp_path: Path) -> None:
    root = comfy_folder(tmp_path)
    good = root / "diffusion_models" / "NewBie-Image-Exp0.1-bf16.safetensors"
    save_file(transformer() | {"scaled_fp8": torch.zeros(1)}, root / "diffusion_models" / "newbie_fp8.safetensors")
    assert find_base(root).transformer == good
    good.unlink()
    with pytest.raises(UserError, match="no transformer") as caught:
        find_base(root)
    assert "newbie_fp8.safetensors" in caught.value.hints[0]


def test_unreadable_files_in_comfyui_do_not_matter(tmp_path: Path) -> None:
    root = comfy_folder(tmp_path)
    (root / "vae" / "broken.safetensors").write_bytes(b"\x00" * 20)
    (root / "text_encoders" / "empty.safetensors").write_bytes(b"")
    assert find_base(root).vae.name == "ae.safetensors"


def test_a_config_beside_a_single_vae_file_is_used(tmp_path: Path) -> None:
    folder = shutil.copytree(TINY / "vae", tmp_path / "vae")
    stated = json.loads((folder / "config.json").read_text())
    codec = load_vae(folder / "diffusion_pytorch_model.safetensors", dtype=torch.float32)
    assert (codec.scaling, codec.shift) == (stated["scaling_factor"], stated["shift_factor"])


def test_a_vae_file_alone_has_flux_constants(tmp_path: Path) -> None:
    codec = load_vae(vae_file(tmp_path / "ae.safetensors"), dtype=torch.float32)
    assert (codec.scaling, codec.shift, codec.channels, codec.downscale) == (0.3611, 0.1159, 16, 8)


def test_another_file_in_place_of_a_vae_is_refused_by_name(tmp_path: Path) -> None:
    save_file(transformer(), tmp_path / "ae.safetensors")
    with pytest.raises(UserError, match="not a VAE.*Lumina") as caught:
        load_vae(tmp_path / "ae.safetensors", dtype=torch.float32)
    assert caught.value.code == "wrong_model"
