"""Attention kernels behind one call: PyTorch's SDPA by default, `varlen` and `flash` on CUDA when asked for.

Tokens of a sample are contiguous at the front; `Lengths` says how many are real. SDPA gets a key mask only when
the batch really has padding. The other two work on the unpadded tokens and never build a mask.

Cards before Ampere (compute capability below 8.0: T4, RTX 20) have no flash kernel, and PyTorch's memory-efficient
one takes there neither bfloat16 nor, in older releases, grouped heads (ATen's sdp_utils.cpp). Left alone it would make
all scores, [heads, tokens, tokens] a sample; so they get what that kernel takes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from trainer_core.contracts.errors import UserError
from trainer_core.planning.presets import BF16_CAPABILITY

BACKENDS = ("sdpa", "varlen", "flash")


@dataclass(frozen=True)
class Lengths:
    """Real tokens per sample [batch] of a padded batch, read on the host once per batch."""

    each: tuple[int, ...]
    padded: int

    @property
    def full(self) -> bool:
        return min(self.each) == self.padded

    def key_mask(self, device: torch.device) -> Tensor | None:
        """Boolean [batch, 1, 1, tokens], True where a key is real; None when nothing is padded."""
        if self.full:
            return None
        ends = torch.tensor(self.each, device=device).view(-1, 1, 1, 1)
        return torch.arange(self.padded, device=device).view(1, 1, 1, -1) < ends

    def packed(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Flat indices of the real tokens [total] and cumulative lengths [batch + 1] int32."""
        # Made on the host, which knows the lengths: to count on the device means to wait for it.
        real = torch.cat([torch.arange(length) + place * self.padded for place, length in enumerate(self.each)])
        cumulative = F.pad(torch.cumsum(torch.tensor(self.each), 0), (1, 0)).to(torch.int32)
        return real.to(device, non_blocking=True), cumulative.to(device, non_blocking=True)


Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(q [B, T, H, D], k [B, T, Hkv, D], v [B, T, Hkv, D]) -> [B, T, H, D], softmax scale 1 / sqrt(D)."""


def backend_problem(name: str, device: torch.device) -> str | None:
    """Why the kernel `name` cannot run here, as the end of a sentence; None if it can."""
    if name == "sdpa":
        return None
    if device.type != "cuda":
        return "needs an NVIDIA GPU"
    if before_ampere(device):
        return "needs a GPU of compute capability 8.0 or newer (RTX 30, A100)"
    if name == "flash" and find_spec("flash_attn") is None:
        return "needs the package flash-attn (pip install -r requirements-flash.txt)"
    if name == "varlen" and find_spec("torch.nn.attention.varlen") is None:
        return "needs torch.nn.attention.varlen (PyTorch 2.10 or newer)"
    return None


def before_ampere(device: torch.device) -> bool:
    """Whether it is a GPU without a flash kernel and without bfloat16 in PyTorch's memory-efficient attention."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) < BF16_CAPABILITY


def check_backend(name: str, device: torch.device) -> None:
    """Raises UserError `attention_unavailable` when the asked-for kernel cannot run here."""
    if name not in BACKENDS:
        raise UserError("attention_unavailable", f"attention_backend is '{name}'; allowed: {', '.join(BACKENDS)}.")
    problem = backend_problem(name, device)
    if problem:
        raise UserError(
            "attention_unavailable",
            f"attention_backend '{name}' {problem}.",
            ['Set attention_backend = "sdpa": same results, PyTorch\'s own kernels.'],
        )


def build_attention(name: str, lengths: Lengths, device: torch.device) -> Attention:
    """The kernel for every block of one forward pass; masks and indices are made here, once."""
    if name == "sdpa":
        if device.type != "cuda":
            return _sdpa(lengths.key_mask(device))
        whole = _sdpa_single if before_ampere(device) else _sdpa(None)
        return whole if lengths.full else _sample_by_sample(whole, lengths)
    return _unpadded(_varlen_kernel() if name == "varlen" else _flash_kernel(), lengths, device)


def _sdpa(mask: Tensor | None) -> Attention:
    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (x.transpose(1, 2) for x in (q, k, v))
        grouped = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=grouped).transpose(1, 2)

    return attend


def _sdpa_single(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """In fp32 where it would be bfloat16, and with as many heads of k and v as of q."""
    several = q.shape[2] // k.shape[2]
    inputs = (q, k.repeat_interleave(several, 2), v.repeat_interleave(several, 2))
    # Autocast would bring them back to bfloat16.
    with torch.autocast(q.device.type, enabled=False):
        return _sdpa(None)(*(x.float() if x.dtype == torch.bfloat16 else x for x in inputs)).to(q.dtype)


def _sample_by_sample(whole: Attention, lengths: Lengths) -> Attention:
    """Without padding: PyTorch's flash kernel takes no mask, and with grouped heads the kernel that does take one falls
    back to materialised scores."""

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        rows = [
            F.pad(whole(*(x[i : i + 1, :n] for x in (q, k, v)))[0], (0, 0, 0, 0, 0, lengths.padded - n))
            for i, n in enumerate(lengths.each)
        ]
        return torch.stack(rows)

    return attend


Kernel = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""(q, k, v [tokens, heads, D], cumulative lengths, longest) -> [tokens, heads, D]."""


def _varlen_kernel() -> Kernel:
    from torch.nn.attention.varlen import varlen_attn

    # Before there was this argument, grouped heads were taken as they are.
    grouped: dict[str, Any] = {"enable_gqa": True} if "enable_gqa" in signature(varlen_attn).parameters else {}

    def kernel(q: Tensor, k: Tensor, v: Tensor, cumulative: Tensor, longest: int) -> Tensor:
        out = varlen_attn(q, k, v, cumulative, cumulative, longest, longest, **grouped)
        assert isinstance(out, Tensor), type(out)
        return out

    return kernel


def _flash_kernel() -> Kernel:
    from flash_attn import flash_attn_varlen_func

    def kernel(q: Tensor, k: Tensor, v: Tensor, cumulative: Tensor, longest: int) -> Tensor:
        return flash_attn_varlen_func(q, k, v, cumulative, cumulative, longest, longest)

    return kernel


def _unpadded(kernel: Kernel, lengths: Lengths, device: torch.device) -> Attention:
    indices, cumulative = lengths.packed(device)
    longest = max(lengths.each)

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q_real, k_real, v_real = (x.flatten(0, 1).index_select(0, indices) for x in (q, k, v))
        out = kernel(q_real, k_real, v_real, cumulative, longest)
        spread = out.new_zeros(q.shape[0] * q.shape[1], *out.shape[1:])
        return spread.index_copy(0, indices, out).unflatten(0, (q.shape[0], q.shape[1]))

    return attend
