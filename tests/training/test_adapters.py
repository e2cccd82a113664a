"""LoRA on the transformer: which modules, which dtype, which start; reading our own exports back."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_lora import TARGETS, inputs, randomise, tiny_model
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.training.adapters import add_lora, load_weights, matching_modules, read_lora


def lora(model: torch.nn.Module, *, seed: int = 1, rank: int = 4, targets: list[str] = TARGETS):
    return add_lora(model, targets=targets, rank=rank, alpha=rank, dropout=0.0, seed=seed)


def test_the_official_targets_match_every_block() -> None:
    modules = matching_modules(tiny_model(), TARGETS)
    assert len(modules) == 3 * 4 + 2
    assert {"layers.1.attention.qkv", "context_refiner.0.feed_forward.w2", "time_text_embed.1"} <= set(modules)


def test_endings_are_matched_at_dots_only() -> None:
    assert matching_modules(tiny_model(), ["w1", "layers.0.attention.out"])[-2:] == [
        "layers.1.feed_forward.w1",
        "noise_refiner.0.feed_forward.w1",
    ]
    with pytest.raises(UserError):
        matching_modules(tiny_model(), ["ention.qkv"])


@pytest.mark.parametrize("targets", [["attention.qkv", "attention.kqv"], ["nothing"], [], ["attention_norm1"]])
def test_each_single_target_must_match(targets: list[str]) -> None:
    with pytest.raises(UserError, match=r"attention\.qkv") as caught:
        matching_modules(tiny_model(), targets)
    assert caught.value.code == "targets_unmatched"
    assert all(target in str(caught.value) for target in targets)


def test_adapters_are_fp32_and_alone_trainable_on_a_bf16_base() -> None:
    model = tiny_model().bfloat16()
    parameters = lora(model)
    trainable = {id(p) for p in model.parameters() if p.requires_grad}
    assert trainable == {id(p) for p in parameters.values()}
    assert {p.dtype for p in parameters.values()} == {torch.float32}
    assert {p.dtype for p in model.parameters() if not p.requires_grad} == {torch.bfloat16}
    assert len(parameters) == 2 * 14
    with torch.autocast("cpu", torch.bfloat16):
        assert model(*inputs()).dtype == torch.bfloat16


def test_the_output_is_unchanged_at_the_start_and_changed_after() -> None:
    model = tiny_model()
    with torch.no_grad():
        before = model(*inputs())
        parameters = lora(model)
        assert torch.equal(model(*inputs()), before)
        randomise(parameters)
        assert (model(*inputs()) - before).abs().max() > 1e-3


def test_the_start_is_a_function_of_seed_and_name() -> None:
    torch.manual_seed(1)
    one = lora(tiny_model(), seed=1)
    torch.manual_seed(2)
    few = lora(tiny_model(), seed=1, targets=["attention.qkv"])
    other = lora(tiny_model(), seed=2)
    name = "layers.0.attention.qkv.lora_A"
    assert torch.equal(one[name], few[name])
    assert not torch.equal(one[name], other[name])
    assert not torch.equal(one[name], one["layers.1.attention.qkv.lora_A"])


def test_a_is_kaiming_uniform_and_b_is_zero() -> None:
    for name, parameter in lora(tiny_model()).items():
        if name.endswith(".lora_B"):
            assert not parameter.any()
        else:
            bound = parameter.shape[1] ** -0.5
            assert 0.6 * bound < parameter.abs().max() <= bound


def test_every_adapter_gets_a_gradient() -> None:
    model = tiny_model()
    parameters = lora(model)
    randomise(parameters)
    model.train()(*inputs()).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values())


def test_weights_are_loaded_strictly() -> None:
    parameters = lora(tiny_model())
    weights = {name: torch.randn(value.shape) for name, value in parameters.items()}
    load_weights(parameters, weights, "file")
    assert all(torch.equal(parameters[name], value) for name, value in weights.items())
    wrong = {**weights, "extra.lora_A": torch.zeros(1, 1), "time_text_embed.1.lora_A": torch.zeros(1, 1)}
    wrong.pop("layers.0.attention.qkv.lora_A")
    with pytest.raises(UserError) as caught:
        load_weights(parameters, wrong, "file")
    for part in ("missing: layers.0.attention.qkv.lora_A", "extra.lora_A", "other shape: time_text_embed.1.lora_A"):
        assert part in str(caught.value)


def halves(prefix: str, down: str, up: str) -> dict[str, Tensor]:
    return {f"{prefix}layers.0.attention.qkv.{down}.weight": torch.ones(2, 6),
            f"{prefix}layers.0.attention.qkv.{up}.weight": torch.ones(8, 2)}  # fmt: skip


@pytest.mark.parametrize(("down", "up"), [("lora_down", "lora_up"), ("lora_A", "lora_B")])
def test_a_single_file_is_read_with_and_without_alpha(tmp_path: Path, down: str, up: str) -> None:
    tensors = halves("diffusion_model.", down, up)
    save_file(tensors, tmp_path / "plain.safetensors")
    save_file(
        {**tensors, "diffusion_model.layers.0.attention.qkv.alpha": torch.tensor(5.0)}, tmp_path / "a.safetensors"
    )
    weights, alphas = read_lora(tmp_path / "plain.safetensors")
    assert sorted(weights) == ["layers.0.attention.qkv.lora_A", "layers.0.attention.qkv.lora_B"]
    assert alphas == {"layers.0.attention.qkv": 2.0}  # the rank: a scale of 1
    assert read_lora(tmp_path / "a.safetensors")[1] == {"layers.0.attention.qkv": 5.0}


def peft_folder(folder: Path, **settings: object) -> Path:
    folder.mkdir()
    save_file(halves("base_model.model.", "lora_A", "lora_B"), folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def test_a_peft_folder_is_read_with_the_alpha_of_its_json(tmp_path: Path) -> None:
    weights, alphas = read_lora(peft_folder(tmp_path / "peft", lora_alpha=3))
    assert weights["layers.0.attention.qkv.lora_B"].shape == (8, 2)
    assert alphas == {"layers.0.attention.qkv": 3.0}


@pytest.mark.parametrize("settings", [{}, {"lora_alpha": 3, "use_rslora": True}, {"lora_alpha": 3, "use_dora": True}])
def test_peft_folders_that_scale_otherwise_are_refused(tmp_path: Path, settings: dict[str, object]) -> None:
    with pytest.raises(UserError) as caught:
        read_lora(peft_folder(tmp_path / "peft", **settings))
    assert caught.value.code == "lora_unreadable"


BROKEN = {
    "half": {"diffusion_model.x.lora_up.weight": torch.ones(2, 2)},
    "foreign": {"lora_unet_x.lora_up.weight": torch.ones(2, 2)},
    "dora": {**halves("diffusion_model.", "lora_A", "lora_B"), "diffusion_model.x.dora_scale": torch.ones(2)},
    "alpha alone": {**halves("diffusion_model.", "lora_A", "lora_B"), "diffusion_model.x.alpha": torch.tensor(1.0)},
    "no matrix": {f"diffusion_model.x.{half}.weight": torch.ones(2) for half in ("lora_up", "lora_down")},
    "nothing": {"diffusion_model.x.alpha": torch.tensor(1.0)},
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_not_understood_is_refused_by_name(tmp_path: Path, name: str) -> None:
    save_file(BROKEN[name], tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="x") as caught:
        read_lora(tmp_path / "x.safetensors")
    assert caught.value.code == "lora_unreadable"


def test_a_missing_or_broken_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "text.safetensors").write_text("no weights")
    for path in (tmp_path / "text.safetensors", tmp_path / "absent.safetensors", tmp_path):
        with pytest.raises(UserError, match="cannot be read"):
            read_lora(path)
