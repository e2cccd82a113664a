"""Triton's kernels against PyTorch's own operations: interpreted on a CPU, compiled on a card."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from trainer_core.model import fused, rms_norm
from trainer_core.model.fused import dropout_branch, gate, heads
from trainer_core.model.rope import apply_rope, rope_table

INTERPRET = "TRITON_INTERPRET"
BF16, FP32 = torch.bfloat16, torch.float32
# Of the largest number of a result; in bf16 the plain operations round between their passes.
NEAR = {FP32: 1e-5, BF16: 0.03}
Use = Callable[[bool], None]


@pytest.fixture(params=["interpreted", pytest.param("card", marks=pytest.mark.gpu)])
def on(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[torch.device, Use]:
    """The device, and a way to say what `kernels_for` finds."""
    if (request.param == "interpreted") != (INTERPRET in os.environ):
        pytest.skip("runs in a process of its own: test_all_of_it_interpreted")
    kernels = importlib.import_module("trainer_core.model.kernels")

    def use(wanted: bool) -> None:
        for module in (fused, rms_norm):
            monkeypatch.setattr(module, "kernels_for", lambda x: kernels if wanted else None)

    return torch.device("cuda" if request.param == "card" else "cpu"), use


def test_all_of_it_interpreted() -> None:
    """Triton decides when it is imported whether it interprets."""
    pytest.importorskip("triton", reason="Triton's wheels are for Linux")
    command = (
        sys.executable,
        "-m",
        "pytest",
        __file__,
        "-k",
        "interpreted and not all_of_it",
        "-p",
        "no:cacheprovider",
        "-q",
    )
    environment = {**os.environ, INTERPRET: "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "21 passed" in done.stdout, done.stdout


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape)))


def compare(on: tuple[torch.device, Use], dtype: torch.dtype, compute: Callable[..., object], *inputs: Tensor) -> None:
    """Outputs and gradients of `compute`, with the kernels and without."""
    device, use = on
    found = []
    for wanted in (True, False):
        use(wanted)
        given = [tensor.to(device, dtype).requires_grad_() for tensor in inputs]
        out = compute(*given)
        outs: tuple[Tensor, ...] = out if isinstance(out, tuple) else (out,)
        weighted = sum((part * numbers(*part.shape).to(device)).sum() for part in outs)
        found.append([*outs, *torch.autograd.grad(weighted, given)])
    for one, other in zip(*found, strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert (one - other).abs().max() <= NEAR[dtype] * other.abs().max()


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize("kind", ["", "scale", "gate"])
def test_norms(on: tuple[torch.device, Use], dtype: torch.dtype, kind: str):
    """More rows than one program sums; the modulation is a part of what is made for all norms of a block."""
    x, weight, onto, modulations = numbers(2, 17, 40), numbers(40).add(1), numbers(2, 17, 40), numbers(2, 1, 160)
    weight = weight.to(on[0], dtype)

    def compute(x: Tensor, onto: Tensor, modulations: Tensor) -> Tensor:
        given = {kind: modulations.chunk(4, dim=-1)[1]} if kind else {}
        return rms_norm.rms_norm(x, weight, 1e-5, onto=onto, **given) + modulations.mean()

    compare(on, dtype, compute, x, onto, modulations)


@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_gate(on: tuple[torch.device, Use], dtype: torch.dtype):
    compare(on, dtype, gate, numbers(3, 700), numbers(3, 700).flip(0))


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize(("counts", "width"), [((24, 8), 96), ((6, 2), 96), ((3, 1), 48), ((4, 4), 12)])
def test_heads(on: tuple[torch.device, Use], dtype: torch.dtype, counts: tuple[int, int], width: int):
    """Their gradients come as attention gives them: heads before tokens."""
    device, _ = on
    rope = rope_table(torch.arange(2 * 3 * 3).view(2, 3, 3), (width // 3,) * 3).to(device)
    weights = tuple((numbers(width) + shift).to(device, dtype) for shift in (1, 2))

    def compute(qkv: Tensor) -> tuple[Tensor, ...]:
        found = heads(qkv, weights, rope, counts, 1e-6)  # type: ignore[arg-type]
        if found is None:
            q, k, v = qkv.unflatten(-1, (-1, width)).split((*counts, counts[1]), dim=2)
            q, k = (rms_norm.rms_norm(x, weight, 1e-6) for x, weight in zip((q, k), weights, strict=True))
            found = apply_rope(q, rope), apply_rope(k, rope), v
        return tuple(part.transpose(1, 2) * 1 for part in found)

    compare(on, dtype, compute, numbers(2, 3, (counts[0] + 2 * counts[1]) * width))


@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_a_branch_with_dropout(on: tuple[torch.device, Use], dtype: torch.dtype):
    def compute(x: Tensor) -> tuple[Tensor, ...]:
        torch.manual_seed(0)
        found = dropout_branch(x, 0.25)
        if found is None:
            found = x, torch.native_dropout(x, 0.25, True)[0]
        # Zeros are where they were, and only their gradients' sum is asked for.
        return found[0] * 2, found[1] * 3

    compare(on, dtype, compute, numbers(5, 300))


@pytest.mark.parametrize("dtype", fused.FORMATS)
def test_the_trial_finds_kernels_that_work_and_only_those(
    on: tuple[torch.device, Use], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
):
    device, _ = on
    kernels = importlib.import_module("trainer_core.model.kernels")
    fused.try_out(kernels, device, dtype)
    real = kernels.gate_forward
    monkeypatch.setattr(kernels, "gate_forward", lambda a, b: real(a, b) * 1.03)
    with pytest.raises(RuntimeError, match="differ"):
        fused.try_out(kernels, device, dtype)


def test_kernels_that_fail_in_a_format_are_left_out_in_that_one(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("triton", reason="Triton's wheels are for Linux")

    def no_bf16(kernels: object, device: torch.device, dtype: torch.dtype) -> None:
        if dtype == BF16:
            raise RuntimeError("cannot convert to bf16")

    monkeypatch.setattr(fused, "try_out", no_bf16)
    monkeypatch.setattr(fused, "_trial", fused._trial.__wrapped__)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert fused._trial(FP32)[0] is not None and fused._trial(BF16)[0] is None
    assert fused.kernels_problem() == "failed here (cannot convert to bf16)"


def test_what_lies_on_a_cpu_needs_none():
    assert fused.kernels_for(numbers(2, 3)) is None


def test_what_keeps_the_kernels_from_running_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "triton.errors", None)
    assert "package triton" in fused._trial.__wrapped__(FP32)[1]
    monkeypatch.undo()
    pytest.importorskip("triton", reason="Triton's wheels are for Linux")

    def breaks(*given: object) -> None:
        raise RuntimeError("\nno C compiler\nat all")

    monkeypatch.setattr(fused, "try_out", breaks)
    assert fused._trial.__wrapped__(FP32) == (None, "failed here (no C compiler)")


def test_a_full_card_says_nothing_about_the_kernels(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("triton", reason="Triton's wheels are for Linux")

    def full(*given: object) -> None:
        raise RuntimeError("Triton Error [CUDA]: out of memory")

    monkeypatch.setattr(fused, "try_out", full)
    with pytest.raises(RuntimeError, match="out of memory"):
        fused._trial.__wrapped__(FP32)


def test_a_run_on_a_card_without_the_kernels_says_so(monkeypatch: pytest.MonkeyPatch):
    # Not above: where Triton interprets nobody needs the trainer, and its import takes seconds.
    from trainer_core.training import checks

    monkeypatch.setattr(checks, "kernels_problem", lambda: "failed here (no C compiler)")
    [note] = checks.kernel_notes(torch.device("cuda"))
    assert "Triton kernels failed here (no C compiler)" in note and "half as much time" in note
