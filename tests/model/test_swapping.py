"""Blocks in host memory: the same bits as without, no more than three on the device, no copy too many."""

import gc
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from trainer_core.contracts.errors import UserError
from trainer_core.model import host_memory
from trainer_core.model.folder import load_transformer
from trainer_core.model.host_memory import HostMemory
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.quantised import quantise_blocks
from trainer_core.model.swapping import HOST, BlockPlacement, Swapping
from trainer_core.planning.adapter import LoraShape
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.quantised import base_bytes
from trainer_core.planning.shapes import Dimensions
from trainer_core.planning.swapped import RING, swap_bytes, swapped_places
from trainer_core.training.adapters import add_adapter

# Everything that has a frozen weight in the way of some gradient: time_text_embed makes the condition need one.
TARGETS = ("attention.qkv", "feed_forward.w2", "time_text_embed.1")
DIMS = Dimensions(
    dim=96, n_heads=4, n_kv_heads=2, n_layers=7, n_refiner_layers=1, axes_dims=(8, 8, 8), cap_feat_dim=160,
    clip_text_dim=96,
)  # fmt: skip
KINDS = ("no", "int8", "nf4")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Products as small as these lose time to a second one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Training:
    """A small model with LoRA, `swap` of its blocks swapped, and SGD on the adapter."""

    def __init__(
        self, swap: int, *, kind: str = "no", dtype: torch.dtype = torch.bfloat16, dims: Dimensions = DIMS,
        device: str = "cpu",
    ) -> None:  # fmt: skip
        torch.manual_seed(0)
        self.device, self.dtype = torch.device(device), dtype
        model = NextDiT(**vars(dims)).to(dtype).requires_grad_(False)
        if kind != "no":
            quantise_blocks(model, kind)
        self.swapping = Swapping(model, swapped_places(dims.n_layers, swap), self.device) if swap else None
        self.adapter = add_adapter(model, LoraShape(rank=4), targets=TARGETS, alpha=4.0, dropout=0.0, seed=0)
        with torch.no_grad():
            for parameter in self.adapter.values():
                parameter.copy_(0.1 * torch.randn(parameter.shape))
        model.gradient_checkpointing = True
        self.model = model.to(self.device).train()

    def velocity(self, number: int) -> Tensor:
        make = torch.Generator().manual_seed(number)
        latents, feats, pooled = (
            torch.randn(shape, generator=make).to(self.device) for shape in ((2, 16, 8, 8), (2, 24, 160), (2, 96))
        )
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            return self.model(latents, torch.tensor([0.2, 0.7], device=self.device), feats, (24, 24), pooled)

    @torch.no_grad()
    def look(self, number: int) -> Tensor:
        self.model.eval()
        seen = self.velocity(number)
        self.model.train()
        return seen

    def step(self, number: int) -> list[Tensor]:
        """Loss and gradients of one step, which is taken."""
        loss = self.velocity(number).float().square().mean()
        loss.backward()
        found = [loss.detach()]
        with torch.no_grad():
            for parameter in self.adapter.values():
                assert parameter.grad is not None and parameter.grad.any()
                found.append(parameter.grad)
                parameter -= parameter.grad
                parameter.grad = None
        return found


def frozen(module: nn.Module) -> list[Tensor]:
    return [t for t in [*module.parameters(), *module.buffers()] if not t.requires_grad]


def stored(tensors: list[Tensor]) -> int:
    """Bytes of the storages behind tensors, each once; a stand-in's single number is none."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
    return sum(size for size in storages.values() if size > 4)


def assert_equal(one: list[Tensor], other: list[Tensor]) -> None:
    assert [torch.equal(a, b) for a, b in zip(one, other, strict=True)] == [True] * len(one)
    assert all(t.isfinite().all() for t in one)


@pytest.mark.parametrize(
    ("kind", "dtype", "swap"),
    [
        ("no", torch.float32, 7),
        ("no", torch.float32, 1),
        ("no", torch.bfloat16, 4),
        ("int8", torch.bfloat16, 7),
        ("int8", torch.float32, 3),
        ("nf4", torch.bfloat16, 5),
    ],
)
def test_losses_and_gradients_are_bit_equal_over_steps_and_passes_without_gradients(
    kind: str, dtype: torch.dtype, swap: int
):
    plain, swapped = (Training(count, kind=kind, dtype=dtype) for count in (0, swap))
    for number in range(3):
        assert_equal(plain.step(number), swapped.step(number))
        assert_equal([plain.look(number)], [swapped.look(number)])


def test_gradients_do_come_from_the_ring():
    """They are spoilt by a buffer that is overwritten before the block's backward: the test above would see it."""
    run = Training(7)

    def overwrite(*_: object) -> None:
        assert run.swapping is not None
        if run.swapping._turned:
            next(buffer for buffer in run.swapping._ring if buffer.block == 3).bytes.fill_(255)

    run.model.layers[3].feed_forward.w2.register_forward_hook(overwrite)
    assert not all(t.isfinite().all() for t in run.step(0))


class Late:
    """A copy that is on its way, as on a GPU, until someone waits for it; a stream that waits."""

    def __init__(self, run: Callable[[], object]) -> None:
        self.run = run

    def wait_event(self, event: "Late") -> None:
        event.run()


def test_nothing_is_used_before_its_copy_has_arrived(monkeypatch: pytest.MonkeyPatch):
    def start(self: Swapping, block: Any, buffer: Any) -> None:
        buffer.bytes.fill_(255)
        buffer.ready = Late(lambda: buffer.bytes[: block.size].copy_(block.host.bytes))

    plain, swapped = Training(0), Training(7)
    monkeypatch.setattr(Swapping, "_copy", start)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Late(lambda: None))
    for number in range(2):
        assert_equal([*plain.step(number), plain.look(number)], [*swapped.step(number), swapped.look(number)])


@pytest.mark.parametrize("turn", [1, 2], ids=["forward", "backward"])
def test_an_interrupted_pass_leaves_nothing_behind(turn: int):
    plain, swapped = Training(0), Training(7)
    calls: list[int] = []

    def interrupt(*_: object) -> None:
        calls.append(1)
        if len(calls) == turn:
            raise KeyboardInterrupt

    hook = swapped.model.layers[4].register_forward_pre_hook(interrupt)
    with pytest.raises(KeyboardInterrupt):
        swapped.step(9)
    hook.remove()
    for parameter in swapped.adapter.values():
        parameter.grad = None
    assert_equal(plain.step(0), swapped.step(0))


def test_three_blocks_at_most_lie_on_the_device():
    run = Training(7, kind="int8")
    assert run.swapping is not None
    block = swap_bytes(DIMS, "int8", 2, 7).host // 7
    seen = set()
    for layer in run.model.layers:
        layer.register_forward_pre_hook(lambda *_: seen.add(stored(frozen(run.model.layers))))
    assert stored(frozen(run.model.layers)) == 0
    run.step(0)
    run.look(0)
    assert seen == {RING * block} and run.swapping.copied.most_resident == RING


def test_no_more_is_copied_than_the_order_demands():
    """In a step all but the ring's three, there and back; without gradients the ring runs ahead into the next pass."""
    swap = 6
    run = Training(swap)
    assert run.swapping is not None
    passes: list[tuple[Callable[[int], Any], int]] = [
        (run.step, swap + swap - 3), (run.step, 2 * (swap - 3)), (run.look, swap - 1), (run.look, swap),
        (run.step, swap - 2 + swap - 3), (run.step, 2 * (swap - 3)),
    ]  # fmt: skip
    for number, (act, wanted) in enumerate(passes):
        before = run.swapping.copied.copies
        act(number)
        assert run.swapping.copied.copies - before == wanted, number
    copied = run.swapping.copied
    assert copied.bytes == copied.copies * swap_bytes(DIMS, "no", 2, swap).host // swap


@pytest.mark.parametrize("swap", [2, 4, 7])
@pytest.mark.parametrize("kind", KINDS)
def test_the_bytes_on_both_sides_are_those_planned(kind: str, swap: int):
    run = Training(swap, kind=kind)
    assert run.swapping is not None
    run.look(0)
    planned = swap_bytes(DIMS, kind, 2, swap)
    assert stored(frozen(run.model)) == base_bytes(DIMS, kind, 2) - planned.left + planned.ring
    assert sum(block.host.bytes.nbytes for block in run.swapping._blocks) == planned.host


def test_without_its_turn_a_block_gives_nan_and_has_no_bytes():
    run = Training(7, kind="int8")
    layer = run.model.layers[3].feed_forward.w1
    assert layer(torch.ones(1, 96)).isnan().all() and stored(frozen(run.model.layers)) == 0


def test_all_blocks_must_be_checkpointed():
    run = Training(4)
    for change in ({"gradient_checkpointing": False}, {"gradient_checkpointing": True, "checkpoint_skip_every": 2}):
        vars(run.model).update(change)
        with pytest.raises(AssertionError, match="not all are checkpointed"):
            run.velocity(0)
        assert run.look(0).isfinite().all()


@pytest.mark.parametrize("kind", ("no", "int8"))
def test_a_base_loaded_to_host_memory_gives_the_same_picture(kind: str):
    path = TINY_BASE / "transformer"
    plain, swapped = (load_transformer(path, dtype=torch.bfloat16, quantise=kind, swap=swap) for swap in (0, 4))
    places = swapped_places(len(plain.layers), 4)
    assert [stored(frozen(layer)) == 0 for layer in swapped.layers] == [n in places for n in range(len(plain.layers))]
    width, pooled = (layer.in_features for layer in (plain.cap_embedder[1], plain.clip_text_pooled_proj[1]))
    given = (torch.ones(1, 16, 8, 8), torch.tensor([0.5]), torch.ones(1, 5, width), (5,),
             torch.ones(1, pooled))  # fmt: skip
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(plain(*given), swapped(*given))


def test_weights_of_swapped_blocks_are_read_to_host_memory():
    """Packing is done on the device, tensor by tensor; what it leaves goes to host memory at once."""
    there = torch.device("meta")
    exact, packed = (BlockPlacement((0, 2), there, kind) for kind in ("no", "int8"))
    names = ("layers.0.ffn_norm1.weight", "layers.1.attention.qkv.weight", "layers.2.attention.qkv.weight")
    assert [exact.where(name) for name in names] == [HOST, there, HOST]
    assert packed.where(names[2]) == there and packed.where("layers.2.attention.qkv.qweight") == HOST


def test_swapped_blocks_lie_evenly_among_the_others():
    assert swapped_places(36, 0) == () and swapped_places(7, 7) == tuple(range(7))
    assert swapped_places(36, 12) == tuple(range(0, 36, 3)) and swapped_places(6, 4) == (0, 1, 3, 4)
    with pytest.raises(UserError, match="swap_blocks = 7, but the transformer of this base has 6 main blocks"):
        swapped_places(6, 7)


class Driver:
    """Of CUDA, what pins memory: it answers with `code`, and remembers what is pinned."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.pinned: dict[int, int] = {}

    def cudaHostRegister(self, pointer: int, size: int, flags: int) -> int:
        if not self.code:
            self.pinned[pointer] = size
        return self.code

    def cudaHostUnregister(self, pointer: int) -> int:
        return self.pinned.pop(pointer) * 0


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Driver]:
    def blamed(*_: object, **__: object) -> None:
        raise RuntimeError("CUDA error: the refusal")

    def make(code: int) -> Driver:
        made = Driver(code)
        cuda = SimpleNamespace(cudart=lambda: made, synchronize=lambda: None)
        monkeypatch.setattr(host_memory, "torch", SimpleNamespace(
            cuda=cuda, empty=torch.empty, uint8=torch.uint8, ones=blamed
        ))  # fmt: skip
        return made

    return make


def test_memory_is_pinned_to_the_byte_and_given_back(driver: Callable[[int], Driver]):
    made = driver(0)
    memory = [HostMemory(size, pin=True) for size in (5000, 4096)]
    assert list(made.pinned.values()) == [5000, 4096] and all(pointer % 4096 == 0 for pointer in made.pinned)
    assert all(each.pinned and each.bytes.data_ptr() in made.pinned for each in memory)
    del memory
    gc.collect()
    assert made.pinned == {}


def test_memory_that_cannot_be_pinned_is_used_all_the_same(driver: Callable[[int], Driver]):
    driver(2)
    memory = HostMemory(10, pin=True)
    assert not memory.pinned and memory.bytes.fill_(3).sum() == 30


@pytest.mark.gpu
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu_the_bits_are_the_same_and_the_peak_is_lower(kind: str):
    """Wide enough that copies are still under way when their block is asked for."""
    dims = Dimensions(
        dim=768, n_heads=8, n_kv_heads=4, n_layers=12, n_refiner_layers=1, axes_dims=(32, 32, 32), cap_feat_dim=160,
        clip_text_dim=96,
    )  # fmt: skip
    losses, peaks = [], []
    for swap in (0, 12):
        run = Training(swap, kind=kind, dims=dims, device="cuda")
        torch.cuda.reset_peak_memory_stats()
        # One kernel for both, and one whose sums have an order.
        with sdpa_kernel(SDPBackend.MATH):
            losses.append([tensor.cpu() for number in range(3) for tensor in [*run.step(number), run.look(number)]])
        peaks.append(torch.cuda.max_memory_allocated())
        assert run.swapping is None or run.swapping.problem == ""
        del run
        gc.collect()
    assert_equal(*losses)
    planned = swap_bytes(dims, kind, 2, 12)
    assert peaks[0] - peaks[1] > 0.9 * (planned.left - planned.ring)
