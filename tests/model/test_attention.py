"""Attention kernels: no needless mask, equal results, plain words when a kernel cannot run here."""

import pytest
import torch
from torch.nn import functional as F

from trainer_core.contracts.errors import UserError
from trainer_core.model import attention
from trainer_core.model.attention import Lengths, build_attention, check_backend

CPU = torch.device("cpu")


def qkv(lengths: Lengths, device: torch.device = CPU, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, ...]:
    torch.manual_seed(0)
    sizes = [(len(lengths.each), lengths.padded, heads, 32) for heads in (6, 2, 2)]
    return tuple(torch.randn(size, device=device, dtype=dtype) for size in sizes)


@pytest.mark.parametrize(("each", "masked"), [((5, 5), False), ((5, 3), True)])
def test_a_mask_is_built_only_for_padding(each: tuple[int, ...], masked: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = F.scaled_dot_product_attention
    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", lambda *a, **k: seen.append(k) or real(*a, **k))
    build_attention("sdpa", Lengths(each, 5), CPU)(*qkv(Lengths(each, 5)))
    assert (seen[0]["attn_mask"] is not None) == masked and seen[0]["enable_gqa"]


def test_grouped_heads_and_padding_equal_plain_softmax() -> None:
    lengths = Lengths((5, 3), 5)
    q, k, v = qkv(lengths)
    got = build_attention("sdpa", lengths, CPU)(q, k, v)
    for row, length in enumerate(lengths.each):
        keys, values = (x[row, :length].repeat_interleave(3, dim=1) for x in (k, v))
        scores = torch.einsum("qhd,khd->hqk", q[row, :length], keys) / 32**0.5
        expected = torch.einsum("hqk,khd->qhd", scores.softmax(-1), values)
        torch.testing.assert_close(got[row, :length], expected)


@pytest.mark.parametrize("capability", [(7, 5), (9, 0)])
def test_what_a_gpu_gets_equals_the_masked_kernel(capability: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sample by sample where captions are unequal; what padded queries give is never read."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    lengths = Lengths((5, 3), 5)
    one, other = (build_attention("sdpa", lengths, device)(*qkv(lengths)) for device in (CPU, torch.device("cuda")))
    torch.testing.assert_close(one[0], other[0])
    torch.testing.assert_close(one[1, :3], other[1, :3])


def test_before_ampere_the_memory_efficient_kernel_gets_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal heads, and fp32 instead of bfloat16, though autocast is on: as sdp_utils.cpp asks below 8.0."""
    seen: list[tuple[torch.Tensor, ...]] = []
    real = F.scaled_dot_product_attention
    monkeypatch.setattr(attention.F, "scaled_dot_product_attention", lambda *a, **k: seen.append(a) or real(*a, **k))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    lengths = Lengths((5, 5), 5)
    with torch.autocast("cpu", torch.bfloat16):
        out = build_attention("sdpa", lengths, torch.device("cuda"))(*qkv(lengths, dtype=torch.bfloat16))
    assert [(x.dtype, x.shape[1]) for x in seen[0]] == [(torch.float32, 6)] * 3 and out.dtype == torch.bfloat16


def test_flash_kernels_are_refused_before_ampere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    with pytest.raises(UserError, match=r"varlen.*needs a GPU of compute capability 8\.0"):
        check_backend("varlen", torch.device("cuda"))


@pytest.mark.parametrize("name", ["varlen", "flash", "xformers"])
def test_a_kernel_that_cannot_run_here_is_refused_in_words(name: str) -> None:
    with pytest.raises(UserError, match=f"attention_backend.*{name}"):
        check_backend(name, CPU)


@pytest.mark.gpu
@pytest.mark.parametrize("name", ["varlen", "flash"])
def test_unpadded_kernels_equal_sdpa(name: str) -> None:
    device = torch.device("cuda")
    try:
        check_backend(name, device)
    except UserError as error:
        pytest.skip(str(error))
    lengths = Lengths((64, 40), 64)
    inputs = qkv(lengths, device, torch.bfloat16)
    one, other = (build_attention(kernel, lengths, device)(*inputs) for kernel in ("sdpa", name))
    torch.testing.assert_close(one[1, :40], other[1, :40], rtol=2e-2, atol=2e-2)


def test_packed_indices_and_cumulative_lengths() -> None:
    indices, cumulative = Lengths((2, 3), 3).packed(CPU)
    assert indices.tolist() == [0, 1, 3, 4, 5] and cumulative.tolist() == [0, 2, 5]
