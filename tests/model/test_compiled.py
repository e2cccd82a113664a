"""Compiled blocks: the same numbers but for rounding, few codes for all batches, and eager ones if a compiler fails."""

from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import pytest
import torch
from torch import Tensor

from trainer_core.model import compiled
from trainer_core.model.compiled import compile_blocks, compile_problem
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.quantised import quantise_blocks
from trainer_core.model.swapping import Swapping
from trainer_core.planning.adapter import AdapterShape, LokrShape, LoraShape
from trainer_core.training.adapters import add_adapter

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    """Counts, and the codes that other tests made, are let go of."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    yield
    torch._dynamo.reset()
    torch.set_num_threads(threads)


LORA = LoraShape(rank=4)


def build(
    kind: str = "no", *, checkpointing: bool = False, swap: tuple[int, ...] = (), adapter: AdapterShape = LORA
) -> NextDiT:
    torch.manual_seed(0)
    model = NextDiT(
        dim=96, n_heads=4, n_kv_heads=2, n_layers=5, n_refiner_layers=1, axes_dims=[8] * 3, axes_lens=[64] * 3,
        cap_feat_dim=160, clip_text_dim=96,
    ).requires_grad_(False)  # fmt: skip
    if kind != "no":
        quantise_blocks(model, kind)
    if swap:
        Swapping(model, swap, CPU)
    targets = ("attention.qkv", "feed_forward.w2", "time_text_embed.1")
    for parameter in add_adapter(model, adapter, targets=targets, alpha=4.0, dropout=0.1, seed=0).values():
        parameter.data = 0.1 * torch.randn(parameter.shape)
    model.gradient_checkpointing = checkpointing
    return model.train()


def step(model: NextDiT, side: int = 8, captions: tuple[int, ...] = (24, 24)) -> list[Tensor]:
    """The loss, and all gradients."""
    torch.manual_seed(side)
    count, longest = len(captions), max(captions)
    out = model(
        torch.randn(count, 16, side, side), torch.linspace(0.2, 0.7, count), torch.randn(count, longest, 160), captions,
        torch.randn(count, 96),
    )  # fmt: skip
    loss = out.square().mean()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [loss.detach(), *torch.autograd.grad(loss, trained)]


def distance(one: list[Tensor], other: list[Tensor]) -> float:
    """The largest distance of two like tensors, in parts of their length."""
    return max(float((a - b).norm() / b.norm()) for a, b in zip(one, other, strict=True))


def codes() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "swap"), [("no", ()), ("int8", ()), ("nf4", ()), ("no", (0, 1, 2, 3, 4))])
def test_only_rounding_differs(kind: str, swap: tuple[int, ...]) -> None:
    plain, traced = (build(kind, checkpointing=bool(swap), swap=swap) for _ in range(2))
    compile_blocks(traced, pytest.fail, "aot_eager")
    assert distance(step(traced), step(plain)) < 1e-5
    assert codes() == 2 and not torch._dynamo.utils.counters["graph_break"]


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 3])
def test_a_lokr_is_compiled_too(rank: int) -> None:
    plain, traced = (build(adapter=LokrShape(factor=4, rank=rank)) for _ in range(2))
    compile_blocks(traced, pytest.fail, "aot_eager")
    assert distance(step(traced), step(plain)) < 1e-5
    assert codes() == 2 and not torch._dynamo.utils.counters["graph_break"]


def test_few_codes_serve_every_shape_and_recomputation() -> None:
    plain, traced = build(checkpointing=True), build(checkpointing=True)
    compile_blocks(traced, pytest.fail, "aot_eager")
    for side, captions in ((8, (24, 24)), (8, (24, 9)), (4, (5, 30)), (12, (7, 8, 9))):
        assert distance(step(traced, side, captions), step(plain, side, captions)) < 1e-5
    # Two halves, and now and then one more where strides differ.
    assert codes() <= 4


@pytest.mark.slow
def test_pictures_are_made_by_compiled_blocks_too() -> None:
    plain, traced = build().eval(), build().eval()
    compile_blocks(traced, pytest.fail, "aot_eager")
    step(traced)
    with torch.no_grad():
        pair = [[m(torch.ones(2, 16, 8, 8), torch.ones(2), torch.ones(2, 9, 160), (9, 9), None)] for m in (
            traced, plain
        )]  # fmt: skip
    assert distance(*pair) < 1e-5


def test_a_compiler_that_fails_is_told_once_and_the_step_is_made() -> None:
    def broken(*_: Any) -> NoReturn:
        raise RuntimeError("no Python.h\nand more")

    said: list[str] = []
    plain, traced = build(checkpointing=True), build(checkpointing=True)
    compile_blocks(traced, said.append, broken)
    for _ in range(2):
        assert distance(step(traced), step(plain)) == 0
    assert len(said) == 1 and "the compiler failed" in said[0] and "no Python.h" in said[0]


@pytest.mark.parametrize(
    ("platform", "device", "found", "problem"),
    [
        ("win32", "cuda", True, "not been tried on Windows"),
        ("linux", "cuda", False, "triton"),
        ("linux", "cpu", False, "needs a compiler (g++"),
        ("linux", "cpu", True, None),
    ],
)
def test_what_is_missing_is_known_before(
    monkeypatch: pytest.MonkeyPatch, platform: str, device: str, found: bool, problem: str | None
) -> None:
    answer: Callable[[str], object] = lambda name: name if found else None  # noqa: E731
    monkeypatch.setattr(compiled.sys, "platform", platform)
    monkeypatch.setattr(compiled, "find_spec", answer)
    monkeypatch.setattr(compiled.shutil, "which", answer)
    monkeypatch.delenv("CXX", raising=False)
    said = compile_problem(torch.device(device))
    assert said is None if problem is None else problem in str(said)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_the_real_compiler_only_rounds_otherwise(
    checkpointing: bool, record_figure: Callable[[str, float | str], None]
) -> None:
    if compile_problem(CPU):
        pytest.skip("no compiler here")
    plain, made = build(checkpointing=checkpointing), build(checkpointing=checkpointing)
    compile_blocks(made, pytest.fail)
    far = max(distance(step(made, side, each), step(plain, side, each)) for side, each in ((8, (24, 9)), (12, (7, 30))))
    record_figure(f"compiled: gradients' distance{', checkpointed' if checkpointing else ''}", far)
    assert far < 1e-5
    assert all(torch.equal(a, b) for a, b in zip(step(made), step(made), strict=True))
