"""Reading LoRAs: every form people have gives the same modules; what is broken or foreign is refused by name."""

import json
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lora_makers import DOWN, MAGNITUDE, QKV, UP, pair, peft, refused, single
from peft import LoraConfig
from safetensors.torch import save_file
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.model.lora_files import read_lora
from trainer_core.planning.lora_facts import lora_facts, newest_export
from trainer_core.planning.lora_slots import DORA_KEY
from trainer_core.training.checkpoint import Checkpoint, save_checkpoint

FORMS = {
    "ours": pair(),
    "fork": pair(down="lora_down", up="lora_up"),
    "lora_A": pair(down="lora_A", up="lora_B"),
    "peft with adapter name": pair("base_model.model.", down="lora_A.default", up="lora_B.default"),
    "lora_unet": pair("lora_unet_", QKV.replace(".", "_")),
    "transformer": pair("transformer.", down="lora.down", up="lora.up"),
    "nested": pair("base_model.model.diffusion_model.", down="lora_A", up="lora_B"),
    "unet": pair("unet.base_model.model.", down="lora_A", up="lora_B"),
    "bare": pair(""),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_module(tmp_path: Path, form: str) -> None:
    lora = read_lora(single(tmp_path, FORMS[form]))
    module = lora.modules[QKV]
    assert list(lora.modules) == [QKV] and torch.equal(module.down, DOWN) and torch.equal(module.up, UP)
    assert (module.rank, module.scale, module.shape, module.magnitude) == (2, 1.0, (8, 6), None)
    assert "stores no alpha" in lora.notes[0] and "sqrt(rank)" in lora.notes[0]


@pytest.mark.parametrize("alpha", [torch.tensor(5.0), torch.tensor([5.0]), torch.tensor([[5]]), torch.tensor(5).half()])
def test_alpha_is_one_number_of_any_shape(tmp_path: Path, alpha: Tensor) -> None:
    lora = read_lora(single(tmp_path, {**pair(), f"diffusion_model.{QKV}.alpha": alpha}))
    assert lora.modules[QKV].scale == 2.5 and lora.notes == ()


def test_an_alpha_stored_in_fp32_comes_back_as_it_was_written(tmp_path: Path) -> None:
    lora = read_lora(single(tmp_path, {**pair(), f"diffusion_model.{QKV}.alpha": torch.tensor(0.1)}))
    assert lora.modules[QKV].alpha == 0.1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64, torch.float8_e4m3fn])
def test_stored_dtypes_are_read_as_fp32_and_remembered(tmp_path: Path, dtype: torch.dtype) -> None:
    module = read_lora(single(tmp_path, {n: v.to(dtype) for n, v in pair().items()})).modules[QKV]
    assert module.up.dtype == torch.float32 and module.dtype == dtype
    assert torch.equal(module.up, UP.to(dtype).float())


@pytest.mark.parametrize(("settings", "scale"), [
    ({"lora_alpha": 3}, 1.5),
    ({"lora_alpha": 3, "r": 2, "use_rslora": True}, 3 / math.sqrt(2)),
    ({"lora_alpha": 3, "r": 8, "rank_pattern": {"attention.qkv": 2}, "alpha_pattern": {r"layers\.\d+.*qkv": 5}}, 2.5),
    ({"lora_alpha": 3, "alpha_pattern": {"ention.qkv": 5}}, 1.5),
])  # fmt: skip
def test_a_peft_folder_scales_as_its_json_says(tmp_path: Path, settings: dict[str, object], scale: float) -> None:
    for path in (peft(tmp_path / "peft", **settings), tmp_path / "peft" / "adapter_model.safetensors"):
        lora = read_lora(path)
        assert lora.modules[QKV].scale == pytest.approx(scale, rel=1e-12) and lora.notes == ()


@pytest.mark.parametrize(("settings", "words"), [
    ({}, "lora_alpha = None"),
    ({"lora_alpha": "3"}, "lora_alpha = '3'"),
    ({"lora_alpha": -1}, "above 0"),
    ({"lora_alpha": float("nan")}, "above 0"),
    ({"lora_alpha": 3, "r": 4}, "has rank 2, but adapter_config.json states 4"),
    ({"lora_alpha": 3, "r": 0}, "r = 0"),
    ({"lora_alpha": 3, "use_dora": True}, "no magnitude"),
    ({"lora_alpha": 3, "peft_type": "LOHA"}, "of type LOHA"),
    ({"lora_alpha": 3, "bias": "all"}, "bias"),
    ({"lora_alpha": 3, "init_lora_weights": "pissa_niter_4"}, "pissa_niter_4"),
    ({"lora_alpha": 3, "alpha_pattern": {"(a+)+": 1}}, "too complex"),
    ({"lora_alpha": 3, "alpha_pattern": {"[": 1}}, "broken expression"),
    ({"lora_alpha": 3, "rank_pattern": [1]}, "not a table"),
])  # fmt: skip
def test_json_that_cannot_be_followed_is_refused(tmp_path: Path, settings: dict[str, object], words: str) -> None:
    refused(peft(tmp_path / "peft", **settings), words)


def test_without_its_json_a_peft_file_has_lost_its_alpha_and_says_so(tmp_path: Path) -> None:
    folder = peft(tmp_path / "peft", lora_alpha=3)
    (folder / "adapter_config.json").unlink()
    for path in (folder, folder / "adapter_model.safetensors"):
        lora = read_lora(path)
        assert lora.modules[QKV].scale == 1.0 and "alpha is lost" in lora.notes[0]


def test_a_renamed_peft_file_has_its_alpha_in_the_json_beside_it(tmp_path: Path) -> None:
    folder = peft(tmp_path / "peft", lora_alpha=3, r=2)
    renamed = shutil.move(folder / "adapter_model.safetensors", folder / "my_lora.safetensors")
    lora = read_lora(renamed)
    assert lora.modules[QKV].scale == 1.5 and "taken from adapter_config.json" in lora.notes[0]
    assert lora_facts(renamed).alpha == 3.0
    # Its own alphas go first, and a json that belongs to another file says nothing of this one.
    stated = pair("base_model.model.", down="lora_A", up="lora_B") | {f"base_model.model.{QKV}.alpha": torch.ones(1)}
    assert read_lora(single(folder, stated)).modules[QKV].scale == 0.5
    assert read_lora(single(folder, pair())).modules[QKV].scale == 1.0
    shutil.copy(renamed, folder / "adapter_model.safetensors")
    assert read_lora(renamed).modules[QKV].scale == 1.0 and lora_facts(renamed).alpha is None


@pytest.mark.parametrize("part", ["transformer.", ""])
def test_diffusers_metadata_state_the_alpha_of_a_file_without(tmp_path: Path, part: str) -> None:
    config = LoraConfig(r=2, lora_alpha=3, target_modules=["attention.qkv"], use_rslora=True).to_dict()
    stated = {f"{part}{name}": sorted(value) if isinstance(value, set) else value for name, value in config.items()}
    tensors = pair("transformer.", down="lora_A", up="lora_B")
    file = single(tmp_path, tensors, {"lora_adapter_metadata": json.dumps(stated)})
    lora = read_lora(file)
    assert lora.modules[QKV].scale == pytest.approx(3 / math.sqrt(2)) and "lora_adapter_metadata" in lora.notes[0]
    assert lora_facts(file).alpha == pytest.approx(3 * math.sqrt(2))
    with_alpha = tensors | {f"transformer.{QKV}.alpha": torch.tensor(6.0)}
    assert read_lora(single(tmp_path, with_alpha, lora.metadata)).modules[QKV].scale == 3.0
    refused(single(tmp_path, tensors, {"lora_adapter_metadata": '{"lora_alpha": 3, "r": 4}'}), "states 4")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"r": 2}', '{"lora_alpha": 3, "alpha_pattern": {"attn.to_q": 1}}'])
def test_diffusers_metadata_that_cannot_be_followed_are_passed_over(tmp_path: Path, text: str) -> None:
    lora = read_lora(single(tmp_path, pair(), {"lora_adapter_metadata": text}))
    assert lora.modules[QKV].scale == 1.0 and "stores no alpha" in lora.notes[0]


def test_the_forks_file_points_to_its_peft_folder(tmp_path: Path) -> None:
    peft(tmp_path / "x", lora_alpha=3)
    assert f"Its PEFT folder {tmp_path / 'x'}" in read_lora(single(tmp_path, pair())).notes[0]


def test_the_loader_nodes_metadata_scale_a_file_without_alpha(tmp_path: Path) -> None:
    stated = {"lora_alpha": "16", "lora_rank": "32"}
    lora = read_lora(single(tmp_path, pair(), stated))
    assert lora.modules[QKV].scale == 0.5 and "lora_alpha / lora_rank" in lora.notes[0]
    with_alpha = {**pair(), f"diffusion_model.{QKV}.alpha": torch.tensor(6.0)}
    assert read_lora(single(tmp_path, with_alpha, stated)).modules[QKV].scale == 3.0


@pytest.mark.parametrize("shape", [(8,), (8, 1)])
def test_a_dora_is_read_in_the_papers_convention_unless_marked(tmp_path: Path, shape: tuple[int, ...]) -> None:
    tensors = {**pair(), f"diffusion_model.{QKV}.dora_scale": MAGNITUDE.reshape(shape)}
    lora = read_lora(single(tmp_path, tensors))
    module = lora.modules[QKV]
    assert lora.is_dora and module.magnitude is not None and torch.equal(module.magnitude, MAGNITUDE)
    assert not module.over_base and "no strength mends a DoRA" in lora.notes[0]
    assert read_lora(single(tmp_path, tensors, {DORA_KEY: "base"})).modules[QKV].over_base
    refused(single(tmp_path, tensors, {DORA_KEY: "else"}), "else")


def test_a_pickle_is_read_as_plain_tensors_only(tmp_path: Path) -> None:
    tensors = pair("base_model.model.", down="lora_A", up="lora_B")
    folder = peft(tmp_path / "peft", lora_alpha=3)
    (folder / "adapter_model.safetensors").unlink()
    torch.save(tensors, folder / "adapter_model.bin")
    assert read_lora(folder).modules[QKV].scale == 1.5
    torch.save({"step": 3, "adapter_state_dict": tensors, "optimizer": {"lr": 1.0}}, tmp_path / "checkpoint_3.pt")
    assert torch.equal(read_lora(tmp_path / "checkpoint_3.pt").modules[QKV].up, UP)


class Bomb:
    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return (print, ("this must never run",))


@pytest.mark.parametrize("content", [{"x": Bomb()}, [1, 2], {"x": 3}, 7])
def test_pickles_of_anything_else_are_refused_and_not_run(
    tmp_path: Path, content: object, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(content, tmp_path / "x.pt")
    refused(tmp_path / "x.pt")
    (tmp_path / "y.bin").write_bytes(b"\x80\x04no pickle")
    refused(tmp_path / "y.bin")
    assert capsys.readouterr().out == ""


def test_a_pickle_with_code_is_refused_without_torch_s_advice_to_run_it(tmp_path: Path) -> None:
    torch.save({"x": Bomb()}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"never run here. It asks for print") as caught:
        read_lora(tmp_path / "x.pt")
    assert "weights_only" not in str(caught.value) and any("PEFT folder" in hint for hint in caught.value.hints)


K = f"diffusion_model.{QKV}"
BROKEN = {
    "half": ({f"{K}.lora_up.weight": UP}, "one half"),
    "alpha alone": ({**pair(), "diffusion_model.x_embedder.alpha": torch.tensor(1.0)}, "one half"),
    "ranks": ({f"{K}.lora_up.weight": UP, f"{K}.lora_down.weight": torch.ones(3, 6)}, "different ranks, 3 and 2"),
    "rank 0": ({f"{K}.lora_up.weight": torch.ones(8, 0), f"{K}.lora_down.weight": torch.ones(0, 6)}, "empty"),
    "flat": ({f"{K}.lora_up.weight": torch.ones(8), f"{K}.lora_down.weight": torch.ones(6)}, "two dimensions"),
    "conv": ({f"{K}.lora_up.weight": torch.ones(8, 2, 1, 1), f"{K}.lora_down.weight": DOWN}, "convolutions"),
    "integers": ({f"{K}.lora_up.weight": UP.int(), f"{K}.lora_down.weight": DOWN}, "torch.int32"),
    "nan": ({**pair(), f"{K}.lora_up.weight": UP / 0 * 0}, "NaN or infinity"),
    "infinity": ({**pair(), f"{K}.lora_up.weight": UP.double() * 1e300}, "NaN or infinity"),
    "alpha nan": ({**pair(), f"{K}.alpha": torch.tensor(float("nan"))}, "NaN or infinity"),
    "alpha negative": ({**pair(), f"{K}.alpha": torch.tensor(-2.0)}, "alpha is -2"),
    "alpha zero": ({**pair(), f"{K}.alpha": torch.tensor(0)}, "alpha is 0"),
    "alpha of two": ({**pair(), f"{K}.alpha": torch.ones(2)}, "2 numbers"),
    "twice": ({**pair(), **pair("lora_unet_", QKV.replace(".", "_"))}, "twice"),
    "two adapters": ({**pair(), f"{K}.lora_up.other.weight": UP}, "twice"),
    "columns": ({**pair(), f"{K}.dora_scale": torch.ones(1, 6)}, "wd_on_out"),
    "unknown": ({**pair(), f"{K}.surprise": UP}, "surprise"),
    "nothing": ({}, "no LoRA tensors"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_refused_by_name(tmp_path: Path, name: str) -> None:
    tensors, words = BROKEN[name]
    refused(single(tmp_path, tensors), words)


@pytest.mark.parametrize(("tensors", "words"), [
    ({f"{K}.hada_w1_a": UP}, "it is a LoHa"),
    (pair("lora_unet_", "double_blocks_0_img_attn_qkv"), "looks like a LoRA for FLUX"),
    ({f"{K}.lora_up.weight": torch.ones(9, 2), f"{K}.lora_down.weight": torch.ones(2, 3840)}, "Z-Image"),
])  # fmt: skip
def test_other_kinds_and_models_are_told_by_name(tmp_path: Path, tensors: dict[str, Tensor], words: str) -> None:
    refused(single(tmp_path, tensors), words, code="lora_unsupported")


def damaged_files() -> dict[str, bytes]:
    header = json.dumps({f"{K}.lora_up.weight": {"dtype": "F32", "shape": [8, 2], "data_offsets": [0, 64]}}).encode()
    lying = json.dumps({f"{K}.lora_up.weight": {"dtype": "F32", "shape": [9**9, 2], "data_offsets": [0, 64]}}).encode()
    unknown = json.dumps({"x": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}).encode()
    return {
        "text": b"no weights",
        "empty": b"",
        "cut": struct.pack("<Q", len(header)) + header + bytes(10),
        "lying shape": struct.pack("<Q", len(lying)) + lying + bytes(64),
        "huge header": struct.pack("<Q", 2**62) + header,
        "no json": struct.pack("<Q", 4) + b"{{{{",
        "unknown dtype": struct.pack("<Q", len(unknown)) + unknown + bytes(4),
    }


@pytest.mark.parametrize("name", damaged_files())
def test_damaged_safetensors_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(damaged_files()[name])
    refused(tmp_path / "x.safetensors", "cannot be read as a LoRA")


@pytest.mark.parametrize(("content", "said"), [
    (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "the text that stands for a file in git"),
    (b"<!DOCTYPE html><html>", "a web page"),
    (b"", "is empty: the download went wrong"),
])  # fmt: skip
def test_a_failed_download_is_told_as_one(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    refused(tmp_path / "x.safetensors", said)
    with pytest.raises(UserError, match=said):
        lora_facts(tmp_path / "x.safetensors")


def run_with_checkpoints(run: Path, *steps: int) -> list[Path]:
    """A run as training leaves it: checkpoints of these steps, and exports (alpha 5) of steps 10 and 30."""
    (run / "exports").mkdir(parents=True)
    for step in (10, 30):
        single(run / "exports", {**pair(), f"{K}.alpha": torch.tensor(5.0)}).rename(
            run / "exports" / f"ann-step-{step:08d}.safetensors"
        )
    adapter = {f"{QKV}.lora_A": DOWN, f"{QKV}.lora_B": UP}
    states = [Checkpoint(adapter=adapter, optimizer={}, state={"step": step}) for step in steps]
    return [save_checkpoint(run / "checkpoints", state.copied(), keep=9) for state in states]


def test_a_checkpoint_means_the_export_of_its_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = run_with_checkpoints(tmp_path / "run", 10, 30)
    monkeypatch.chdir(first)
    for path in (first, first / "adapter.safetensors", Path(), Path("adapter.safetensors")):
        lora = read_lora(path)
        assert lora.path.name == "ann-step-00000010.safetensors" and lora.modules[QKV].scale == 2.5
        assert "the export of its step, ann-step-00000010.safetensors, is taken" in lora.notes[0]
        assert lora_facts(path).alpha == 5.0


def test_a_checkpoint_without_an_export_of_its_step_is_no_lora(tmp_path: Path) -> None:
    (folder,) = run_with_checkpoints(tmp_path / "run", 20)
    lone = shutil.copytree(folder, tmp_path / "elsewhere" / folder.name)
    for path in (folder, folder / "adapter.safetensors", lone, lone / "adapter.safetensors"):
        for read in (read_lora, lora_facts):
            with pytest.raises(UserError, match="checkpoint, which keeps no alpha") as caught:
                read(path)
            assert caught.value.code == "lora_unreadable" and "optimizer" not in " ".join(caught.value.hints)
            assert ("exports/ann-step-00000030.safetensors" in caught.value.hints[0]) is ("elsewhere" not in path.parts)


def test_absent_files_and_strange_folders_say_what_is_expected(tmp_path: Path) -> None:
    refused(tmp_path / "absent.safetensors", "does not exist")
    refused(tmp_path, "neither adapter_model.safetensors nor exports")
    peft(tmp_path / "step_10", lora_alpha=1)
    with pytest.raises(UserError) as caught:
        read_lora(tmp_path)
    assert "step_10" in caught.value.hints[0]
    for name in ("a.safetensors", "optimizer.safetensors"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError) as caught:
        read_lora(tmp_path)
    assert caught.value.hints[0] == "It holds a.safetensors, step_10: give one of these."
    peft(tmp_path / "broken", lora_alpha=1)
    (tmp_path / "broken" / "adapter_config.json").write_text("{")
    refused(tmp_path / "broken", "not JSON")


def split(q: Tensor, k: Tensor, v: Tensor, ranks: tuple[int, int, int], alpha: float | None = None):
    tensors = {}
    for name, up, rank in zip("qkv", (q, k, v), ranks, strict=True):
        key = f"transformer.layers.0.attn.to_{name}"
        tensors |= {f"{key}.lora_A.weight": torch.randn(rank, 6), f"{key}.lora_B.weight": up}
        if alpha:
            tensors[f"{key}.alpha"] = torch.tensor(alpha)
    return tensors


@pytest.mark.parametrize(("ranks", "alpha"), [((2, 2, 2), None), ((2, 2, 2), 3.0), ((1, 2, 3), 3.0)])
def test_split_q_k_v_are_joined_exactly(tmp_path: Path, ranks: tuple[int, int, int], alpha: float | None) -> None:
    ups = [torch.randn(rows, rank) for rows, rank in zip((6, 2, 2), ranks, strict=True)]
    tensors = split(*ups, ranks, alpha)
    lora = read_lora(single(tmp_path, tensors))
    wanted = torch.cat([
        up @ tensors[f"transformer.layers.0.attn.to_{n}.lora_A.weight"] * ((alpha or rank) / rank)
        for n, up, rank in zip("qkv", ups, ranks, strict=True)
    ])  # fmt: skip
    torch.testing.assert_close(lora.modules[QKV].delta(), wanted)
    assert lora.modules[QKV].rank == sum(ranks) and "joined" in " ".join(lora.notes)


def test_a_fused_projection_that_was_split_becomes_itself_again(tmp_path: Path) -> None:
    down, up = torch.randn(2, 6), torch.randn(10, 2)
    tensors = {}
    for name, rows in zip("qkv", up.split((6, 2, 2)), strict=True):
        tensors |= {f"transformer.layers.0.attn.to_{name}.lora_A.weight": down,
                    f"transformer.layers.0.attn.to_{name}.lora_B.weight": rows}  # fmt: skip
    module = read_lora(single(tmp_path, tensors)).modules[QKV]
    assert torch.equal(module.down, down) and torch.equal(module.up, up)


def test_an_absent_part_leaves_its_rows_alone_unless_they_cannot_be_told(tmp_path: Path) -> None:
    tensors = split(torch.randn(6, 2), torch.randn(2, 2), torch.randn(2, 2), (2, 2, 2))
    without_k = {name: value for name, value in tensors.items() if "to_k" not in name}
    delta = read_lora(single(tmp_path, without_k)).modules[QKV].delta()
    assert delta.shape == (10, 6) and not delta[6:8].any() and delta[8:].any()
    refused(single(tmp_path, {n: v for n, v in without_k.items() if "to_v" not in n}), "q alone")
    wide = split(torch.randn(7, 2), torch.randn(2, 2), torch.randn(2, 2), (2, 2, 2))
    refused(single(tmp_path, wide), "another number of rows")
    refused(single(tmp_path, {**tensors, **pair()}), "fused and as to_q")


def test_loras_of_its_sister_model_are_noted(tmp_path: Path) -> None:
    tensors = {name: value for i in range(26) for name, value in pair(module=f"layers.{i}.attention.out").items()}
    assert any("Lumina" in note for note in read_lora(single(tmp_path, tensors)).notes)
    assert any("Lumina" in n for n in read_lora(single(tmp_path, pair(), {"ss_base_model_version": "lumina2"})).notes)


def test_a_run_folder_means_its_newest_export(tmp_path: Path) -> None:
    exports = tmp_path / "run" / "exports"
    exports.mkdir(parents=True)
    for step in (20, 3):
        save_file(pair(), exports / f"ann-step-{step:08d}.safetensors")
        peft(exports / f"ann-step-{step:08d}-peft", lora_alpha=3)
    assert newest_export(tmp_path / "run") == exports / "ann-step-00000020.safetensors"
    assert "ann-step-00000020.safetensors" in read_lora(tmp_path / "run").notes[0]
    for file in exports.glob("*.safetensors"):
        file.unlink()
    assert newest_export(tmp_path / "run") == exports / "ann-step-00000020-peft"
    assert read_lora(tmp_path / "run").modules[QKV].scale == 1.5
    assert newest_export(tmp_path / "a.safetensors") == tmp_path / "a.safetensors"
