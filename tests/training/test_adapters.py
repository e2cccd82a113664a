"""LoRA on the transformer: which modules, which dtype, which start; warm starts."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_lora import TARGETS, inputs, randomise, tiny_model
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.model.lora_files import read_lora
from trainer_core.planning.adapter import AdapterShape, LokrShape, LoraShape
from trainer_core.training.adapters import adapter_shapes, add_adapter, load_weights, matching_modules, start_weights


def lora(model: torch.nn.Module, *, seed: int = 1, rank: int = 4, targets: list[str] = TARGETS):
    return add_adapter(model, LoraShape(rank=rank), targets=targets, alpha=rank, dropout=0.0, seed=seed)


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


def lora_file(file: Path, *, alpha: float = 5.0, rank: int = 2, **more: Tensor) -> Path:
    """A ComfyUI file for one module of the tiny model."""
    tensors = {"lora_down.weight": torch.randn(rank, 24), "lora_up.weight": torch.randn(48, rank),
               "alpha": torch.tensor(alpha), **more}  # fmt: skip
    save_file({f"diffusion_model.layers.0.attention.qkv.{name}": value for name, value in tensors.items()}, file)
    return file


def test_a_start_keeps_the_strength_under_another_alpha(tmp_path: Path) -> None:
    file = lora_file(tmp_path / "a.safetensors")
    theirs = read_lora(file).modules["layers.0.attention.qkv"]
    ours = start_weights(file, LoraShape(rank=2), alpha=1.0)
    up, down = "layers.0.attention.qkv.lora_B", "layers.0.attention.qkv.lora_A"
    torch.testing.assert_close(ours[up] @ ours[down] * (1.0 / 2), theirs.up @ theirs.down * (5.0 / 2))
    same = start_weights(file, LoraShape(rank=2), alpha=5.0)
    assert torch.equal(same[up], theirs.up) and torch.equal(same[down], theirs.down)


def test_a_start_of_another_rank_is_found_when_it_is_loaded(tmp_path: Path) -> None:
    parameters = lora(tiny_model(), rank=4, targets=["layers.0.attention.qkv"])
    weights = start_weights(lora_file(tmp_path / "a.safetensors", rank=3), LoraShape(rank=4), alpha=4.0)
    with pytest.raises(UserError, match="other shape"):
        load_weights(parameters, weights, "file")


LOKRS = [LokrShape(factor=4), LokrShape(factor=4, rank=2)]


@pytest.mark.parametrize("adapter", LOKRS, ids=("whole", "rank 2"))
def test_a_lokr_leaves_the_output_as_it_is_and_learns_in_every_factor(adapter: LokrShape) -> None:
    model = tiny_model()
    with torch.no_grad():
        before = model(*inputs())
        parameters = add_adapter(model, adapter, targets=TARGETS, alpha=2.0, dropout=0.0, seed=1)
        assert torch.equal(model(*inputs()), before)
    shapes = adapter_shapes(tiny_model(), TARGETS, adapter)
    assert {name: value.shape for name, value in parameters.items()} == shapes
    assert {id(p) for p in model.parameters() if p.requires_grad} == {id(p) for p in parameters.values()}
    randomise(parameters)
    model.train()(*inputs()).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in parameters.values())


def lokr_file(file: Path, **factors: Tensor) -> Path:
    save_file({f"diffusion_model.layers.0.attention.qkv.{name}": value for name, value in factors.items()}, file)
    return file


@pytest.mark.parametrize("adapter", LOKRS, ids=("whole", "rank 2"))
def test_a_lokr_starts_from_one_at_the_strength_that_its_file_has(adapter: LokrShape, tmp_path: Path) -> None:
    halves = {"lokr_w2_a": torch.randn(12, 2), "lokr_w2_b": torch.randn(2, 6)}
    file = lokr_file(tmp_path / "a.safetensors", lokr_w1=torch.randn(4, 4), alpha=torch.tensor(5.0), **halves)
    model = tiny_model()
    target = "layers.0.attention.qkv"
    parameters = add_adapter(model, adapter, targets=[target], alpha=3.0, dropout=0.0, seed=1)
    load_weights(parameters, start_weights(file, adapter, alpha=3.0), "file")
    layer, x = model.get_submodule(target), torch.randn(3, 24)
    with torch.no_grad():
        change = layer(x) - layer.base_layer(x)
    torch.testing.assert_close(change, x @ read_lora(file).modules[target].delta().t(), rtol=1e-4, atol=1e-4)


def test_a_file_of_both_kinds_is_no_start(tmp_path: Path) -> None:
    file = lokr_file(tmp_path / "a.safetensors", lokr_w1=torch.ones(4, 4), lokr_w2=torch.ones(12, 6))
    other = "diffusion_model.layers.1.attention.qkv"
    halves = {f"{other}.lora_down.weight": torch.ones(2, 24), f"{other}.lora_up.weight": torch.ones(48, 2)}
    save_file({**load_file(file), **halves}, file)
    for adapter in (LokrShape(factor=4), LoraShape(rank=2)):
        with pytest.raises(UserError, match="LoKr and LoRA side by side"):
            start_weights(file, adapter, 1.0)


@pytest.mark.parametrize(("adapter", "wanted"), [(LoraShape(rank=2), "LoRA"), (LokrShape(factor=4), "LoKr")])
def test_a_run_starts_from_its_own_kind_of_adapter_only(adapter: AdapterShape, wanted: str, tmp_path: Path) -> None:
    dora = lora_file(tmp_path / "dora.safetensors", dora_scale=torch.ones(48, 1))
    lokr = lokr_file(tmp_path / "lokr.safetensors", lokr_w1=torch.ones(4, 4), lokr_w2=torch.ones(12, 6))
    for file, kind in ((dora, "DoRA"), (lokr, "LoKr"), (lora_file(tmp_path / "lora.safetensors"), "LoRA")):
        if kind == wanted:
            assert start_weights(file, adapter, 1.0)
            continue
        with pytest.raises(UserError, match=f"is a {kind}; .* only start from a {wanted}") as caught:
            start_weights(file, adapter, 1.0)
        assert caught.value.code == "lora_unsupported"
        assert any("Set adapter_type" in hint for hint in caught.value.hints) == (kind != "DoRA")
