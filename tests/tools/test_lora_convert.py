"""Converting LoRAs: nothing is lost on the way and back, and each form does what the other did."""

import json
import math
from contextlib import nullcontext
from hashlib import sha256
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_base import TARGETS, WEIGHTS, write_lokr, write_lora, write_peft
from torch import Tensor

from trainer_core.cli import main
from trainer_core.contracts import fsutil
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import LORA_FILES, LORA_FORMS
from trainer_core.model.folder import load_transformer
from trainer_core.model.lora_files import read_lora
from trainer_core.model.lora_modules import LoraModule
from trainer_core.planning.lora_facts import lora_facts
from trainer_core.planning.lora_slots import moves_magnitudes
from trainer_core.tools.lora_convert import convert, form_of

METADATA = {"ss_output_name": "ann", "modelspec.title": "Ann, \u00e4lter", "lora_alpha": "6", "lora_rank": "4"}
PATTERNS: dict[str, Any] = {
    "rank_pattern": {"feed_forward.w2": 3}, "alpha_pattern": {"layers.0.attention.qkv": 0.1, "time_text_embed.1": 5},
}  # fmt: skip


def go(source: Path, output: Path, **options: Any) -> Path:
    return convert(source, output, form=form_of(output), **{"tell": lambda sentence: None} | options)


def metadata_of(file: Path) -> dict[str, str]:
    with safe_open(file, framework="pt") as tensors:
        return tensors.metadata()


def add_metadata(folder: Path) -> None:
    file = folder / "adapter_model.safetensors"
    save_file(load_file(file), file, METADATA)


def same(one: dict[str, LoraModule], other: dict[str, LoraModule]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[n].down, other[n].down)
        and torch.equal(one[n].up, other[n].up)
        and one[n].alpha == other[n].alpha
        for n in one
    )


def test_there_and_back_keeps_every_bit_rank_and_alpha(base: Path, tmp_path: Path) -> None:
    write_peft(base, tmp_path / "peft", **PATTERNS)
    add_metadata(tmp_path / "peft")
    file = go(tmp_path / "peft", tmp_path / "a.safetensors")
    back = go(file, tmp_path / "back")
    first, middle, last = (read_lora(path) for path in (tmp_path / "peft", file, back))
    assert same(first.modules, middle.modules) and same(first.modules, last.modules)
    assert {m.rank for m in last.modules.values()} == {3, 4}
    assert {m.alpha for m in last.modules.values()} == {0.1, 5.0, 6.0}
    assert (
        load_file(back / "adapter_model.safetensors").keys()
        == load_file(tmp_path / "peft" / "adapter_model.safetensors").keys()
    )


def test_metadata_go_along_but_never_what_would_scale_twice(base: Path, tmp_path: Path) -> None:
    write_peft(base, tmp_path / "peft")
    add_metadata(tmp_path / "peft")
    file = go(tmp_path / "peft", tmp_path / "a.safetensors")
    back = go(file, tmp_path / "back")
    for found in (metadata_of(file), metadata_of(back / "adapter_model.safetensors")):
        assert found["ss_output_name"] == "ann" and found["modelspec.title"] == METADATA["modelspec.title"]
        assert not {"lora_rank", "lora_alpha"} & set(found) and len(found["sshs_model_hash"]) == 64


def test_each_form_has_the_hash_of_its_own_tensors_as_kohya_computes_it(base: Path, tmp_path: Path) -> None:
    write_peft(base, tmp_path / "peft", **PATTERNS)
    file = go(tmp_path / "peft", tmp_path / "a.safetensors")
    save_file(load_file(file), file, {"sshs_model_hash": "0" * 64, "sshs_legacy_hash": "0" * 8})
    back = go(file, tmp_path / "back") / "adapter_model.safetensors"
    diffusers = convert(file, tmp_path / "d.safetensors", form="diffusers", tell=lambda sentence: None)
    again = go(back.parent, tmp_path / "again.safetensors")
    for written in (back, diffusers, again):
        data = written.read_bytes()
        header = int.from_bytes(data[:8], "little")
        assert metadata_of(written)["sshs_model_hash"] == sha256(data[8 + header :]).hexdigest()
        assert "sshs_legacy_hash" not in metadata_of(written)


def test_comfyui_names_go_there_and_back(base: Path, tmp_path: Path) -> None:
    lora = write_lora(base, tmp_path / "lora.safetensors", seed=1)
    folder = go(lora, tmp_path / "peft")
    again = go(folder, tmp_path / "again.safetensors")
    found, wanted = load_file(again), load_file(lora)
    assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in found)
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert (settings["r"], settings["lora_alpha"]) == (2, 3.0) and "rank_pattern" not in settings


def peft_merged(base: Path, folder: Path) -> dict[str, Tensor]:
    model = load_transformer(base / "transformer", dtype=torch.float32)
    return dict(peft.PeftModel.from_pretrained(model, str(folder)).merge_and_unload().state_dict())


@pytest.mark.parametrize("options", [{}, PATTERNS, {"use_rslora": True}, {"use_dora": True, **PATTERNS},
                                     {"use_dora": True, "use_rslora": True}])  # fmt: skip
def test_peft_itself_merges_the_way_back_alike(base: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    wanted = write_peft(base, tmp_path / "peft", **options)
    file = go(tmp_path / "peft", tmp_path / "a.safetensors", base=base)
    found = peft_merged(base, go(file, tmp_path / "back", base=base))
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-5, atol=1e-6)


def test_rslora_goes_into_alpha(base: Path, tmp_path: Path) -> None:
    write_peft(base, tmp_path / "peft", use_rslora=True)
    tensors = load_file(go(tmp_path / "peft", tmp_path / "a.safetensors"))
    alphas = {value.item() for name, value in tensors.items() if name.endswith(".alpha")}
    assert alphas == {6 * math.sqrt(4)}


def comfyui(weight: Tensor, tensors: dict[str, Tensor], module: str) -> Tensor:
    """ComfyUI's rule for a DoRA: dora_scale over the row norms of the base."""
    up, down, alpha, scale = (
        tensors[f"diffusion_model.{module}.{end}"]
        for end in ("lora_up.weight", "lora_down.weight", "alpha", "dora_scale")
    )
    assert scale.shape == (weight.shape[0], 1)
    return (weight + up @ down * (alpha / down.shape[0])) * (scale / weight.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("rslora", [False, True])
def test_comfyuis_dora_rule_gives_what_peft_gives(base: Path, tmp_path: Path, rslora: bool) -> None:
    wanted = write_peft(base, tmp_path / "peft", use_dora=True, use_rslora=rslora)
    file = go(tmp_path / "peft", tmp_path / "a.safetensors", base=base)
    original, tensors = load_file(base / WEIGHTS), load_file(file)
    for module in read_lora(file).modules:
        found = comfyui(original[f"{module}.weight"], tensors, module)
        torch.testing.assert_close(found, wanted[f"{module}.weight"], rtol=1e-5, atol=1e-6)
    assert metadata_of(file)["newbie_dora_norm"] == "base"


def test_a_dora_needs_its_base_where_the_form_changes(base: Path, tmp_path: Path) -> None:
    write_peft(base, tmp_path / "peft", use_dora=True)
    with pytest.raises(UserError, match="is a DoRA") as caught:
        go(tmp_path / "peft", tmp_path / "a.safetensors")
    assert caught.value.code == "base_needed" and not (tmp_path / "a.safetensors").exists()
    file = go(tmp_path / "peft", tmp_path / "a.safetensors", base=base)
    again = go(file, tmp_path / "b.safetensors", dtype="bf16")  # the same form needs none
    assert read_lora(again).modules["time_text_embed.1"].over_base
    with pytest.raises(UserError) as caught:
        go(file, tmp_path / "back")
    assert caught.value.code == "base_needed"


@pytest.mark.parametrize("marked", [False, True])
@pytest.mark.parametrize("form", LORA_FORMS)
def test_the_base_is_needed_exactly_where_the_facts_say_so(base: Path, tmp_path: Path, marked: bool, form: str) -> None:
    write_peft(base, tmp_path / "peft", use_dora=True)
    file = go(tmp_path / "peft", tmp_path / "a.safetensors", base=base)
    save_file(load_file(file), file, metadata_of(file) if marked else {})
    needs = moves_magnitudes(form, over_base=lora_facts(file).over_base)
    output = tmp_path / ("b.safetensors" if form in LORA_FILES else "b")
    with pytest.raises(UserError, match="is a DoRA") if needs else nullcontext():
        convert(file, output, form=form, tell=print)
    assert output.exists() != needs and needs == (marked != (form == "comfyui"))


def test_a_lokr_becomes_what_comfyui_loads_in_full_and_nothing_else(base: Path, tmp_path: Path) -> None:
    source = tmp_path / "lokr.safetensors"
    added = write_lokr(base, source)
    file = go(source, tmp_path / "a.safetensors")
    stored, found = load_file(source), load_file(file)
    roles = ("lokr_w1", "lokr_w2", "alpha")
    assert found.keys() == {f"diffusion_model.{module}.{role}" for module in added for role in roles}
    for module in added:
        for role in roles:
            flat = module.replace(".", "_")
            assert torch.equal(found[f"diffusion_model.{module}.{role}"], stored[f"lycoris_{flat}.{role}"])
    assert not {"lora_rank", "lora_alpha"} & metadata_of(file).keys()
    for form, name in (("peft", "b"), ("diffusers", "b.safetensors")):
        with pytest.raises(UserError, match=f"is a LoKr, which the {form} form cannot hold"):
            convert(file, tmp_path / name, form=form, tell=print)
        assert not (tmp_path / name).exists()


def test_the_ending_of_a_file_may_be_in_capitals(base: Path, tmp_path: Path) -> None:
    lora = write_lora(base, tmp_path / "lora.safetensors", seed=1)
    assert form_of(Path("a.SafeTensors")) == "comfyui"
    assert go(lora, tmp_path / "b.SAFETENSORS").is_file()


def test_a_base_of_another_size_is_refused(base: Path, tmp_path: Path) -> None:
    write_peft(base, tmp_path / "peft", use_dora=True)
    original = load_file(base / WEIGHTS)
    save_file({**original, "time_text_embed.1.weight": torch.ones(2, 2)}, base / WEIGHTS)
    with pytest.raises(UserError, match=r"time_text_embed\.1"):
        go(tmp_path / "peft", tmp_path / "a.safetensors", base=base)


def test_rows_of_the_base_at_zero_cannot_be_stated(base: Path, tmp_path: Path) -> None:
    write_peft(base, tmp_path / "peft", use_dora=True)
    original = load_file(base / WEIGHTS)
    original["time_text_embed.1.weight"][3] = 0
    save_file(original, base / WEIGHTS)
    with pytest.raises(UserError, match="1 rows of the base are zero"):
        go(tmp_path / "peft", tmp_path / "a.safetensors", base=base)


def test_a_mixture_of_lora_and_dora_has_no_peft_form(base: Path, tmp_path: Path) -> None:
    tensors = load_file(write_lora(base, tmp_path / "lora.safetensors", seed=1))
    tensors["diffusion_model.layers.0.attention.qkv.dora_scale"] = torch.ones(48, 1)
    save_file(tensors, tmp_path / "lora.safetensors")
    with pytest.raises(UserError, match="all LoRA or all DoRA"):
        go(tmp_path / "lora.safetensors", tmp_path / "back")
    assert go(tmp_path / "lora.safetensors", tmp_path / "a.safetensors", base=base).exists()


@pytest.mark.parametrize("name", ["a.safetensors", "folder"])
def test_a_magnitude_keeps_its_bits(base: Path, tmp_path: Path, name: str) -> None:
    """It multiplies the whole weight: rounded to bf16, it would cost a fifth of a LoRA that changes it by a percent."""
    write_peft(base, tmp_path / "peft", use_dora=True)
    made = go(tmp_path / "peft", tmp_path / name, base=base, dtype="bf16")
    magnitudes = {n: v for n, v in load_file(made if made.is_file() else made / "adapter_model.safetensors").items()
                  if "dora_scale" in n or "magnitude" in n}  # fmt: skip
    assert len(magnitudes) > 2 and {value.dtype for value in magnitudes.values()} == {torch.float32}


@pytest.mark.parametrize(("dtype", "stored"), [("fp16", torch.float16), ("bf16", torch.bfloat16),
                                               ("fp32", torch.float32), ("keep", torch.bfloat16)])  # fmt: skip
def test_dtypes_are_as_asked_and_alpha_stays_fp32(base: Path, tmp_path: Path, dtype: str, stored: torch.dtype) -> None:
    lora = write_lora(base, tmp_path / "lora.safetensors", seed=1)
    save_file({n: v if n.endswith("alpha") else v.bfloat16() for n, v in load_file(lora).items()}, lora)
    tensors = load_file(go(lora, tmp_path / "a.safetensors", dtype=dtype))
    assert {v.dtype for n, v in tensors.items() if not n.endswith("alpha")} == {stored}
    assert {v.dtype for n, v in tensors.items() if n.endswith("alpha")} == {torch.float32}


def test_values_too_large_for_fp16_are_refused(base: Path, tmp_path: Path) -> None:
    lora = write_lora(base, tmp_path / "lora.safetensors", seed=1)
    save_file({n: v * 1e6 for n, v in load_file(lora).items()}, lora)
    with pytest.raises(UserError, match="do not fit into float16"):
        go(lora, tmp_path / "a.safetensors", dtype="fp16")
    assert not (tmp_path / "a.safetensors").exists()


def test_an_output_that_exists_is_left_alone(base: Path, tmp_path: Path) -> None:
    lora = write_lora(base, tmp_path / "lora.safetensors", seed=1)
    before = lora.read_bytes()
    (tmp_path / "folder").mkdir()
    for output in (lora, tmp_path / "folder"):
        with pytest.raises(UserError, match="already exists"):
            go(lora, output)
    with pytest.raises(UserError, match="needs a folder"):
        convert(lora, tmp_path / "x.safetensors", form="peft", tell=print)
    assert lora.read_bytes() == before


@pytest.mark.parametrize("name", ["a.safetensors", "folder"])
def test_a_full_disk_leaves_nothing(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    lora = write_lora(base, tmp_path / "lora.safetensors", seed=1)
    before = sorted(tmp_path.iterdir())

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fsutil, "fsync_file", full)
    with pytest.raises(UserError, match="No space left") as caught:
        go(lora, tmp_path / name)
    assert caught.value.code == "disk_full" and sorted(tmp_path.iterdir()) == before


def test_the_command_tells_notes_and_the_result(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_peft(base, tmp_path / "peft", target_modules=TARGETS[:1])
    (tmp_path / "peft" / "adapter_config.json").unlink()
    assert (
        main(["convert-lora", str(tmp_path / "peft"), str(tmp_path / "new" / "a.safetensors"), "--dtype", "bf16"]) == 0
    )
    told = capsys.readouterr()
    assert told.out.strip() == str(tmp_path / "new" / "a.safetensors") and "note: adapter_config.json" in told.err
    assert main(["convert-lora", str(tmp_path / "absent"), str(tmp_path / "b.safetensors")]) == 1
    assert "does not exist" in capsys.readouterr().err
