"""Attention kernels: no needless mask, equal results, plain words when a kernel cannot run here."""

import pytest
import torch
from torch.nn import functional as F

from trainer_core.contracts.errors import UserError
from trainer_core.model import attention
from trainer_core.model.attention import Lengths, _sdpa_each, build_attention, check_backend

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


def test_sample_by_sample_equals_the_masked_kernel() -> None:
    """The form that CUDA gets for unequal captions; what padded queries give is never read."""
    lengths = Lengths((5, 3), 5)
    one, other = (attend(*qkv(lengths)) for attend in (build_attention("sdpa", lengths, CPU), _sdpa_each(lengths)))
    torch.testing.assert_close(one[0], other[0])
    torch.testing.assert_close(one[1, :3], other[1, :3])


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
