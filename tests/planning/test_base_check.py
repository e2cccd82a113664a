"""A base is judged without torch as the loaders judge it: every layout, and what people get wrong."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.layout_makers import (
    TINY,
    comfy_folder,
    diffusers_base,
    diffusers_names,
    gemma_file,
    jina_file,
    prefixed,
    transformer,
    vae_file,
)
from trainer_core.contracts.base_part import BY_FOLDER
from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import find_base
from trainer_core.planning.base_check import BaseReport, check_base, find_in_comfyui

NAMED = {
    "transformer_path": "transformer",
    "gemma_model_path": "gemma",
    "clip_model_path": "clip",
    "vae_path": "vae",
}
Given = dict[str, Path]


def official(root: Path) -> Given:
    shutil.copytree(TINY, root / "base")
    return {"base_model_path": root / "base"}


def without_vae(root: Path) -> Given:
    shutil.rmtree(official(root)["base_model_path"] / "vae")
    return {"base_model_path": root / "base"}


def other_vae(root: Path) -> Given:
    return without_vae(root) | {"vae_path": vae_file(root / "ae" / "ae.safetensors").parent}


def one_level_up(root: Path) -> Given:
    return {"base_model_path": official(root)["base_model_path"].parent}


def comfy(inner: str) -> Callable[[Path], Given]:
    def make(root: Path) -> Given:
        comfy_folder(root / "comfy" / inner)
        return {"base_model_path": root / "comfy"}

    return make


def comfy_without(folder: str) -> Callable[[Path], Given]:
    def make(root: Path) -> Given:
        for file in (comfy("")(root)["base_model_path"] / folder).iterdir():
            if file.is_file():
                file.unlink()
        return {"base_model_path": root / "comfy"}

    return make


def comfy_twice(root: Path) -> Given:
    save_file(transformer(), comfy("")(root)["base_model_path"] / "diffusion_models" / "finetune.safetensors")
    return {"base_model_path": root / "comfy"}


def comfy_with_named(root: Path) -> Given:
    given = comfy_twice(root)
    return given | {"transformer_path": given["base_model_path"] / "diffusion_models" / "finetune.safetensors"}


def comfy_quantised(root: Path) -> Given:
    folder = comfy_without("diffusion_models")(root)["base_model_path"] / "diffusion_models"
    save_file(transformer() | {"scaled_fp8": torch.zeros(1)}, folder / "fp8.safetensors")
    return {"base_model_path": root / "comfy"}


def comfy_with_dump(root: Path) -> Given:
    torch.save(transformer(), root / "last.pth")
    given = comfy_without("diffusion_models")(root)
    # A dump is not looked into, and of two unknown widths none is the released one.
    (given["base_model_path"] / "text_encoders" / "gemma_3_12b_it.safetensors").unlink()
    return given | {"transformer_path": root / "last.pth"}


def encoders(root: Path) -> Given:
    return {
        "gemma_model_path": gemma_file(root / "te" / "gemma.safetensors", tokenizer=True),
        "clip_model_path": jina_file(root / "te2" / "jina.safetensors", tokenizer=True).parent,
        "vae_path": vae_file(root / "ae.safetensors"),
    }


def part_by_part(root: Path) -> Given:
    save_file(prefixed("model.diffusion_model.", transformer()), root / "newbie.safetensors")
    return encoders(root) | {"transformer_path": root / "newbie.safetensors"}


def file_as_base(root: Path) -> Given:
    save_file(diffusers_names(transformer()), root / "newbie.safetensors")
    return encoders(root) | {"base_model_path": root / "newbie.safetensors"}


def dump_folder(root: Path) -> Given:
    (root / "dump").mkdir()
    torch.save(transformer(), root / "dump" / "consolidated.00-of-01.pth")
    return encoders(root) | {"base_model_path": root / "dump"}


def file_alone(root: Path) -> Given:
    return {"base_model_path": part_by_part(root)["transformer_path"]}


LAYOUTS: dict[str, Callable[[Path], Given]] = {
    "official": official, "without vae": without_vae, "other vae": other_vae, "one level up": one_level_up,
    "one level down": lambda root: {"base_model_path": official(root)["base_model_path"] / "vae"},
    "diffusers": lambda root: {"base_model_path": diffusers_base(root / "base")},
    "comfyui models": comfy(""), "comfyui root": comfy("models"), "repackaged": comfy("split_files"),
    "comfyui without transformer": comfy_without("diffusion_models"),
    "comfyui without encoders": comfy_without("text_encoders"), "comfyui without vae": comfy_without("vae"),
    "two transformers": comfy_twice, "one of two named": comfy_with_named, "only quantised": comfy_quantised,
    "dump and comfyui": comfy_with_dump, "part by part": part_by_part, "file as base": file_as_base,
    "dump folder": dump_folder, "file alone": file_alone,
    "empty folder": lambda root: {"base_model_path": root},
    "nowhere": lambda root: {"base_model_path": root / "nowhere"},
}  # fmt: skip


def checked(given: Given) -> BaseReport:
    return check_base({option: str(path) for option, path in given.items()})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_it_finds_what_the_loader_finds(layout: str, tmp_path: Path) -> None:
    given = LAYOUTS[layout](tmp_path)
    report = checked(given)
    try:
        base = find_base(given.get("base_model_path"), **{NAMED[k]: v for k, v in given.items() if k in NAMED})
    except UserError as error:
        assert report.error is not None and not report.usable
        assert (report.error.code, report.error.message, report.error.hints) == (error.code, error.message, error.hints)
        return
    assert report.usable and report.layout == base.layout
    assert {part.part: part.path for part in report.parts} == {part: str(getattr(base, part)) for part in BY_FOLDER}


def test_what_is_there_is_told_although_something_lacks(tmp_path: Path) -> None:
    report = checked(without_vae(tmp_path))
    assert [part.state for part in report.parts] == ["good", "good", "good", "missing"] and report.layout == "official"
    assert report.parts[0].dtype == "bf16" and report.size > 2**20
    report = checked(comfy_without("text_encoders")(tmp_path))
    assert [part.state for part in report.parts] == ["good", "missing", "missing", "good"]
    assert report.parts[2].error is not None and "clip_model" in report.parts[2].error.message


def test_sizes_are_those_of_the_weight_files() -> None:
    report = check_base({"base_model_path": str(TINY)})
    assert report.size == sum(file.stat().st_size for file in TINY.rglob("*.safetensors"))


def spoil(change: Callable[[Path], object]) -> Callable[[Path], Given]:
    def make(root: Path) -> Given:
        given = official(root)
        change(given["base_model_path"])
        return given

    return make


def cut_short(base: Path) -> None:
    file = base / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def swap(base: Path) -> None:
    shutil.copy(base / "vae" / "diffusion_pytorch_model.safetensors", base / "transformer")


def narrow(base: Path) -> None:
    file = base / "text_encoder" / "model.safetensors"
    save_file({name: value[..., :64].clone() for name, value in load_file(file).items()}, file)


def lose_a_tensor(base: Path) -> None:
    file = base / "transformer" / "diffusion_pytorch_model.safetensors"
    save_file({name: v for name, v in load_file(file).items() if name != "layers.1.ffn_norm1.weight"}, file)


def lose_a_layers_tensor(part: str) -> Callable[[Path], None]:
    def lose(base: Path) -> None:
        file = base / part / "model.safetensors"
        tensors = load_file(file)
        save_file({name: tensors[name] for name in tensors if ".layers.1." not in name or "norm" not in name}, file)

    return lose


def four_channels(base: Path) -> None:
    file = base / "vae" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(file)
    tensors["decoder.conv_in.weight"] = tensors["decoder.conv_in.weight"][:, :4].clone()
    save_file(tensors, file)


def fp8(base: Path) -> None:
    file = base / "transformer" / "diffusion_pytorch_model.safetensors"
    save_file({name: value.to(torch.float8_e4m3fn) for name, value in load_file(file).items()}, file)


def of_another_kind(base: Path) -> None:
    (base / "text_encoder" / "config.json").write_text(json.dumps({"model_type": "llama"}))


def without_constants(base: Path) -> None:
    file = base / "vae" / "config.json"
    values = {name: value for name, value in json.loads(file.read_text()).items() if not name.endswith("_factor")}
    file.write_text(json.dumps(values))


def emptied(base: Path) -> None:
    (base / "clip_model" / "model.safetensors").unlink()


SPOILED: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "cut short": (cut_short, "vae", "weights_broken"),
    "another model": (swap, "transformer", "wrong_model"),
    "narrow encoder": (narrow, "text_encoder", "base_mismatch"),
    "lost tensor": (lose_a_tensor, "transformer", "weights_mismatch"),
    "lost in Gemma": (lose_a_layers_tensor("text_encoder"), "text_encoder", "weights_mismatch"),
    "lost in Jina": (lose_a_layers_tensor("clip_model"), "clip_model", "weights_mismatch"),
    "another VAE": (four_channels, "vae", "base_mismatch"),
    "compressed": (fp8, "transformer", "weights_quantised"),
    "another config": (of_another_kind, "text_encoder", "wrong_model"),
    "no config": (lambda base: (base / "vae" / "config.json").unlink(), "vae", "config_unreadable"),
    "no constants": (without_constants, "vae", "vae_constants_missing"),
    "no tokenizer": (lambda base: (base / "clip_model" / "tokenizer.json").unlink(), "clip_model", "tokenizer_missing"),
    "no weights": (emptied, "clip_model", "weights_missing"),
    "a pointer": (
        lambda base: (base / "vae" / "diffusion_pytorch_model.safetensors").write_text(
            "version https://git-lfs.github.com/spec/v1\noid sha256:00"
        ),
        "vae",
        "weights_broken",
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_part_that_cannot_be_loaded_is_refused_with_its_reason(how: str, tmp_path: Path) -> None:
    change, part, code = SPOILED[how]
    report = checked(spoil(change)(tmp_path))
    refused = {p.part: p.error.code for p in report.parts if p.state == "refused" and p.error}
    assert refused == {part: code} and not report.usable and report.error is None


def test_a_comfyui_folder_without_a_transformer_is_told_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = comfy("")(tmp_path)
    for file in (given["base_model_path"] / "diffusion_models").iterdir():
        file.unlink()
    # Weights of something else where the command is typed.
    monkeypatch.chdir(TINY / "vae")
    states = {part.part: part.state for part in checked(given).parts}
    # The built-in Gemma is narrower than the released one, which is looked for where no transformer tells.
    assert states == {"transformer": "missing", "text_encoder": "missing", "clip_model": "good", "vae": "good"}


def test_torchs_own_files_are_left_to_the_loader(tmp_path: Path) -> None:
    report = checked(dump_folder(tmp_path))
    assert report.parts[0].state == "unread" and report.parts[0].size > 2**20 and report.usable


def test_a_hub_id_is_told_apart_from_a_wrong_path(tmp_path: Path) -> None:
    names = {"gemma_model_path": "google/gemma-3-4b-it", "vae_path": str(tmp_path / "no.safetensors")}
    report = check_base({"base_model_path": str(TINY), **names})
    assert [part.state for part in report.parts] == ["good", "hub", "good", "missing"] and not report.usable


@pytest.mark.parametrize("text", ["", "  ", "\0", "~of-nobody/x", "//", "a\nb", "x" * 5000])
def test_any_text_gets_a_report(text: str) -> None:
    for option in ("base_model_path", *NAMED):
        assert not check_base({option: text}).usable


def test_comfyui_offers_a_file_for_each_part(tmp_path: Path) -> None:
    given = comfy_with_named(tmp_path)
    found = find_in_comfyui(given["base_model_path"])
    assert {part: [c.file.name for c in found[part] if c.usable] for part in found} == {
        "transformer": ["NewBie-Image-Exp0.1-bf16.safetensors", "finetune.safetensors"],
        "text_encoder": ["gemma_3_4b_it_bf16.safetensors"],
        "clip_model": ["jina_clip_v2_bf16.safetensors"],
        "vae": ["ae.safetensors"],
    }
    assert [c.file.name for c in found["text_encoder"] if not c.fits] == ["gemma_3_12b_it.safetensors"]
    with pytest.raises(UserError) as caught:
        find_in_comfyui(TINY)
    assert caught.value.code == "comfy_missing"


def test_a_check_takes_milliseconds_and_no_torch() -> None:
    code = (
        "import sys\nfrom trainer_core.planning.base_check import *\n"
        f"print(check_base({{'base_model_path': {str(TINY)!r}}}).usable, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False"]
    start = time.perf_counter()
    check_base({"base_model_path": str(TINY)})
    assert time.perf_counter() - start < 0.2
