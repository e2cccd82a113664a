import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hash_noise import fill
from safetensors.torch import save_file

from trainer_core.contracts.base_part import BY_FOLDER
from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import find_base, load_transformer, transformer_dimensions
from trainer_core.model.nextdit import NextDiT
from trainer_core.planning.shapes import Dimensions

# As the official converter writes it: no cap_feat_dim, no qk_norm, no n_refiner_layers.
CONFIG: dict[str, Any] = {
    "_class_name": "NextDiT_3B_GQA_patch2_Adaln_Refiner_WHIT_CLIP",
    "model_type": "nextdit_clip",
    "patch_size": 2,
    "in_channels": 16,
    "dim": 48,
    "n_layers": 1,
    "n_heads": 2,
    "n_kv_heads": 1,
    "axes_dims": [8, 8, 8],
    "axes_lens": [64, 16, 16],
    "clip_text_dim": 24,
    "clip_img_dim": 24,
}
BUILT = {key: CONFIG[key] for key in CONFIG if key not in {"_class_name", "model_type", "clip_img_dim"}}


def save_transformer(folder: Path, *, without: str = "", config: dict[str, Any] = CONFIG) -> NextDiT:
    model = NextDiT(**BUILT, cap_feat_dim=40)
    fill(model)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: value for name, value in model.state_dict().items() if name != without}
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return model


def make_base(root: Path) -> Path:
    for name in BY_FOLDER:
        (root / name).mkdir(parents=True)
    return root


def test_a_complete_folder_is_found(tmp_path: Path) -> None:
    base = find_base(make_base(tmp_path / "base"))
    assert base.text_encoder == tmp_path / "base" / "text_encoder"
    assert (base.root, base.vae.name, base.clip_model.name) == (tmp_path / "base", "vae", "clip_model")


def test_what_is_missing_is_named_with_the_expected_layout(tmp_path: Path) -> None:
    root = make_base(tmp_path / "base")
    (root / "vae").rmdir()
    with pytest.raises(UserError, match="lacks vae/") as caught:
        find_base(root)
    assert caught.value.code == "base_incomplete"
    assert all(any(hint.startswith(f"{name}/") for hint in caught.value.hints) for name in BY_FOLDER)


def test_a_path_one_level_off_is_recognised(tmp_path: Path) -> None:
    root = make_base(tmp_path / "models" / "base")
    for wrong in (root / "transformer", root.parent):
        with pytest.raises(UserError) as caught:
            find_base(wrong)
        assert caught.value.hints[0].endswith(str(root))


def test_a_path_that_is_no_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a folder") as caught:
        find_base(tmp_path / "nowhere")
    assert caught.value.code == "base_missing"


def test_absent_settings_come_from_the_tensors(tmp_path: Path) -> None:
    save_transformer(tmp_path)
    axes = {key: tuple(BUILT[key]) for key in ("axes_dims", "axes_lens")}
    wanted = BUILT | axes | {"cap_feat_dim": 40, "qk_norm": True, "n_refiner_layers": 2}
    assert transformer_dimensions(tmp_path) == Dimensions(**wanted)


def test_the_loaded_transformer_computes_the_same(tmp_path: Path) -> None:
    original = save_transformer(tmp_path).eval()
    loaded = load_transformer(tmp_path, dtype=torch.float32)
    torch.manual_seed(0)
    inputs = (
        torch.randn(1, 16, 4, 6),
        torch.tensor([0.3]),
        torch.randn(1, 5, 40),
        (5,),
        torch.randn(1, 24),
    )
    with torch.no_grad():
        assert torch.equal(loaded(*inputs), original(*inputs))
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


def test_bf16_is_the_rounded_original(tmp_path: Path) -> None:
    original = save_transformer(tmp_path).state_dict()
    loaded = load_transformer(tmp_path, dtype=torch.bfloat16).state_dict()
    assert all(torch.equal(loaded[name], value.bfloat16()) for name, value in original.items())


def test_a_missing_tensor_is_named(tmp_path: Path) -> None:
    save_transformer(tmp_path, without="layers.0.attention.out.weight")
    with pytest.raises(UserError, match=r"layers\.0\.attention\.out\.weight") as caught:
        load_transformer(tmp_path, dtype=torch.float32)
    assert caught.value.code == "weights_mismatch"


def test_a_config_of_another_kind_or_contradiction_is_said(tmp_path: Path) -> None:
    save_transformer(tmp_path, config={"dim": 48})
    with pytest.raises(UserError, match="lacks patch_size"):
        load_transformer(tmp_path, dtype=torch.float32)
    save_transformer(tmp_path, config={**CONFIG, "n_heads": 3})
    with pytest.raises(UserError, match="contradicts itself"):
        load_transformer(tmp_path, dtype=torch.float32)
