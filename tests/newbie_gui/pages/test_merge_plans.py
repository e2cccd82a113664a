"""What the Merge tab queues: every field is checked, and nothing that exists is named as an output."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from merge_stock import TINY, workspace_in, write_lokr, write_lora

from newbie_gui.pages.merge.plans import (
    Stack,
    convert_spec,
    cpu_memory,
    free_name,
    merge_spec,
    other_form,
    read_stack,
    room_for,
    try_spec,
)
from newbie_gui.texts import Texts
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import LORA_FORMS
from trainer_core.contracts.workspace import Workspace
from trainer_core.planning.lora_facts import lora_facts

EN = Texts("en")
WANTED = {"form": "comfyui", "name": "new", "precision": "keep"}
TRY = {
    "prompt": "1girl", "negative": "", "width": 128, "height": 64, "steps": 4, "cfg": 4.5, "shift": 6, "seed": 1,
    "strengths": (0.5, 1),
}  # fmt: skip


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_in(tmp_path)


@pytest.fixture
def lora(workspace: Workspace) -> Path:
    return write_lora(workspace.loras / "蓝发.safetensors")


def stack(lora: Path, base: Path = TINY) -> Stack:
    return read_stack(EN, str(base), [(str(lora), 0.5), ("", 1), (None, 1)])


def test_a_merge_names_everything_that_the_job_needs(workspace: Workspace, lora: Path) -> None:
    spec = merge_spec(EN, workspace, stack(lora), WANTED, [])
    assert spec == {
        "base": str(TINY), "loras": [{"path": str(lora), "strength": 0.5}], "precision": "keep",
        "output": str(workspace.models / "new.safetensors"),
    }  # fmt: skip
    folder = merge_spec(EN, workspace, stack(lora), {**WANTED, "form": "folder"}, [])
    assert folder["output"] == str(workspace.models / "new")


@pytest.mark.parametrize(
    ("base", "loras", "said"),
    [
        ("", [("x", 1)], "Base model: nothing is chosen"),
        ("relative", [("x", 1)], "no full path"),
        (str(TINY), [], "No LoRA is chosen"),
        (str(TINY), [("/no/such/file.safetensors", 1)], "does not exist"),
        (str(TINY), [(str(TINY / "model_index.json"), 1)], "cannot be read as a LoRA"),
        (str(TINY), [(7, 1)], "nothing is chosen"),
    ],
)
def test_a_choice_that_cannot_be_is_refused_by_name(base: str, loras: list[Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_stack(EN, base, loras)


@pytest.mark.parametrize("strength", [2.1, float("nan"), "1", None, True])
def test_a_strength_must_be_a_number_within_the_slider(lora: Path, strength: object) -> None:
    with pytest.raises(UserError, match="from -2 to 2") as caught:
        read_stack(EN, str(TINY), [(str(lora), strength)])
    assert caught.value.code == "number_invalid"


def test_one_lora_twice_is_a_mistake(lora: Path) -> None:
    with pytest.raises(UserError, match="twice"):
        read_stack(EN, str(TINY), [(str(lora), 1), (str(lora), 1)])


@pytest.mark.parametrize(
    ("wanted", "code"),
    [
        ({"name": "Taken"}, "output_exists"), ({"name": "planned"}, "output_exists"),
        ({"name": "../x"}, "name_invalid"), ({"name": ""}, "name_invalid"), ({"name": None}, "name_invalid"),
        ({"form": "zip"}, "choice_invalid"), ({"precision": "int8"}, "choice_invalid"),
        ({"precision": ["bf16"]}, "choice_invalid"),
    ],
)  # fmt: skip
def test_outputs_are_new_and_choices_known(workspace: Workspace, lora: Path, wanted: dict[str, Any], code: str) -> None:
    (workspace.models / "taken.safetensors").write_bytes(b"")
    planned = [str(workspace.models / "planned.safetensors")]
    with pytest.raises(UserError) as caught:
        merge_spec(EN, workspace, stack(lora), WANTED | wanted, planned)
    assert caught.value.code == code


def test_a_full_disk_is_told_before_anything_is_queued(
    workspace: Workspace, lora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = stack(lora)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10))
    with pytest.raises(UserError) as caught:
        merge_spec(EN, workspace, chosen, WANTED, [])
    assert caught.value.code == "disk_full"


def test_a_transformer_alone_makes_a_file_but_no_folder_and_no_pictures(workspace: Workspace, lora: Path) -> None:
    alone = stack(lora, TINY / "transformer" / "diffusion_pytorch_model.safetensors")
    assert merge_spec(EN, workspace, alone, WANTED, [])["output"].endswith("new.safetensors")
    with pytest.raises(UserError, match="official layout"):
        merge_spec(EN, workspace, alone, {**WANTED, "form": "folder"}, [])
    with pytest.raises(UserError, match="text_encoder") as caught:
        try_spec(EN, alone, TRY)
    assert "the “Settings” tab" in caught.value.hints[-1] and "gemma_model_path" not in " ".join(caught.value.hints)


def test_the_room_goes_by_the_precision(workspace: Workspace, lora: Path) -> None:
    report = stack(lora).report
    keep, wide = (room_for(report, "comfyui", name, workspace.models).size for name in ("keep", "fp32"))
    assert wide == 2 * keep == 2 * room_for(report, "comfyui", "bf16", workspace.models).size
    assert cpu_memory(report) > wide


def test_a_try_always_has_a_picture_without_the_lora(lora: Path) -> None:
    spec = try_spec(EN, stack(lora), TRY)
    assert spec["strengths"] == [0.0, 0.5, 1.0] and spec["loras"][0]["strength"] == 0.5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"prompt": "  "}, "^Type a prompt"), ({"prompt": "x" * 9000}, "too long"), ({"width": 100}, "steps of 16"),
        ({"steps": 0}, "1 to 200"), ({"seed": 1.5}, "Seed"), ({"strengths": (3, 1)}, "Strength"),
    ],
)  # fmt: skip
def test_what_cannot_be_painted_is_refused(lora: Path, wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        try_spec(EN, stack(lora), TRY | wrong)


def test_a_plain_lora_is_converted_without_the_base(workspace: Workspace, lora: Path) -> None:
    wanted = {"source": str(lora), "form": "peft", "name": "new", "precision": "bf16", "base": str(TINY)}
    plain = convert_spec(EN, workspace, wanted, [])
    assert "base" not in plain and plain["output"] == str(workspace.loras / "new")
    assert convert_spec(EN, workspace, {**wanted, "form": "diffusers"}, [])["output"].endswith("new.safetensors")


@pytest.mark.parametrize(
    ("mark", "forms"), [(None, ["comfyui"]), ({"newbie_dora_norm": "base"}, ["peft", "diffusers"])]
)
def test_a_dora_takes_the_base_along_where_its_mark_says_so_and_not_its_names(
    workspace: Workspace, mark: dict[str, str] | None, forms: list[str]
) -> None:
    dora = write_lora(workspace.loras / "dora.safetensors", dora=True, metadata=mark)
    wanted = {"source": str(dora), "name": "new", "precision": "bf16", "base": str(TINY)}
    specs = [convert_spec(EN, workspace, {**wanted, "form": form}, []) for form in LORA_FORMS]
    assert [spec["form"] for spec in specs if spec.get("base") == str(TINY)] == forms
    with pytest.raises(UserError, match="choose it above, under “Base model”"):
        convert_spec(EN, workspace, {**wanted, "form": forms[0], "base": ""}, [])


def test_a_lokr_can_only_become_a_comfyui_file(workspace: Workspace, tmp_path: Path) -> None:
    file = write_lokr(tmp_path / "a.safetensors")
    wanted = {"source": str(file), "form": "comfyui", "name": "new", "precision": "bf16"}
    assert convert_spec(EN, workspace, wanted, [])["form"] == other_form(lora_facts(file)) == "comfyui"
    with pytest.raises(UserError, match="LoKr"):
        convert_spec(EN, workspace, {**wanted, "form": "peft"}, [])


def test_a_free_name_is_proposed(tmp_path: Path) -> None:
    (tmp_path / "A.safetensors").touch()
    assert free_name(tmp_path, "a", file=True, taken=["a-2.safetensors"]) == "a-3"
    assert free_name(tmp_path, "a", file=False, taken=[]) == "a"
