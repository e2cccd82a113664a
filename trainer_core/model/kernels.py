"""The passes over memory between a block's matrix products, as Triton kernels: each reads and writes a value once.

Only `fused` imports this module, and only where Triton runs. Sums are in fp32 and in a fixed order: the same inputs
give the same bits. What changes from batch to batch is not specialised, so that no caption's length compiles anew.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

# Rows whose part of a modulation's gradient is summed in one program.
ROWS = 16
# Of a gate or a sum, in one program.
ELEMENTS = 1024
# Heads in one program; all of them are q's, k's or v's.
GROUP = 8
HEAD_WARPS = 2
# Numbers of a modulation's gradient in one program.
COLUMNS = 32

# What a norm's weight is multiplied by, of a modulation m: nothing, 1 + m, tanh(m).
PLAIN, SCALED, GATED = tl.constexpr(0), tl.constexpr(1), tl.constexpr(2)
MODES = {"": 0, "scale": 1, "gate": 2}


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit(do_not_specialize=["tokens"])
def _rms_forward(  # noqa: PLR0913
    x, weight, modulation, onto, y, inverse, tokens, width, stride, eps,
    MODE: tl.constexpr, ADD: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    real = columns < width
    values = tl.load(x + row * width + columns, mask=real, other=0.0).to(tl.float32)
    root = 1 / tl.sqrt(tl.sum(values * values, axis=0) / width + eps)
    out = values * root * tl.load(weight + columns, mask=real, other=0.0).to(tl.float32)
    if MODE != PLAIN:
        own = tl.load(modulation + row // tokens * stride + columns, mask=real, other=0.0).to(tl.float32)
        if MODE == SCALED:
            out *= 1 + own
        else:
            out *= _tanh(own)
    if ADD:
        out += tl.load(onto + row * width + columns, mask=real, other=0.0).to(tl.float32)
    tl.store(y + row * width + columns, out.to(y.dtype.element_ty), mask=real)
    tl.store(inverse + row, root)


@triton.jit(do_not_specialize=["tokens"])
def _rms_backward(  # noqa: PLR0913
    grad, x, weight, modulation, inverse, dx, parts, tokens, width, stride,
    MODE: tl.constexpr, SUM: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    part, sample = tl.program_id(0), tl.program_id(1).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    real = columns < width
    factors = tl.load(weight + columns, mask=real, other=0.0).to(tl.float32)
    if MODE != PLAIN:
        own = tl.load(modulation + sample * stride + columns, mask=real, other=0.0).to(tl.float32)
        if MODE == SCALED:
            factors *= 1 + own
        else:
            factors *= _tanh(own)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for number in range(0, ROWS):
        token = part * ROWS + number
        row = sample * tokens + token
        there = real & (token < tokens)
        normed = tl.load(x + row * width + columns, mask=there, other=0.0).to(tl.float32)
        incoming = tl.load(grad + row * width + columns, mask=there, other=0.0).to(tl.float32)
        root = tl.load(inverse + row, mask=token < tokens, other=0.0)
        normed *= root
        if SUM:
            total += incoming * normed
        incoming *= factors
        mean = tl.sum(incoming * normed, axis=0) / width
        out = root * (incoming - normed * mean)
        tl.store(dx + row * width + columns, out.to(dx.dtype.element_ty), mask=there)
    if SUM:
        place = sample * tl.num_programs(0) + part
        tl.store(parts + place * width + columns, total, mask=real)


@triton.jit(do_not_specialize=["programs"])
def _modulation_backward(
    parts, weight, modulation, out, programs, width, stride, MODE: tl.constexpr, BLOCK: tl.constexpr
):  # fmt: skip
    sample = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    real = columns < width
    total = tl.zeros([BLOCK], dtype=tl.float32)
    for part in range(0, programs):
        total += tl.load(parts + (sample * programs + part) * width + columns, mask=real, other=0.0)
    total *= tl.load(weight + columns, mask=real, other=0.0).to(tl.float32)
    if MODE == GATED:
        gate = _tanh(tl.load(modulation + sample * stride + columns, mask=real, other=0.0).to(tl.float32))
        total *= 1 - gate * gate
    tl.store(out + sample * width + columns, total.to(out.dtype.element_ty), mask=real)


@dataclass(frozen=True)
class Factors:
    """What a norm is multiplied by: a weight [D], and a modulation [B, 1, D], whose last stride is 1, by its mode.

    mode: of MODES; the empty one has no modulation.
    """

    weight: Tensor
    modulation: Tensor | None = None
    mode: str = ""

    def given(self) -> tuple[Tensor, Tensor]:
        """Weight and modulation, or something in its place that the kernels do not read."""
        return self.weight, self.weight if self.modulation is None else self.modulation


def rms_forward(x: Tensor, factors: Factors, eps: float, onto: Tensor | None) -> tuple[Tensor, Tensor]:
    """(y, inverse root of each row fp32) of x [..., D], or [B, T, D] with a modulation; `onto` is added to y."""
    width, rows = x.shape[-1], x.numel() // x.shape[-1]
    y, inverse = torch.empty_like(x), torch.empty(rows, dtype=torch.float32, device=x.device)
    tokens, stride = _tokens(rows, factors.modulation)
    block = triton.next_power_of_2(width)
    _rms_forward[(rows,)](
        x, *factors.given(), x if onto is None else onto, y, inverse, tokens, width, stride, eps,
        MODE=MODES[factors.mode], ADD=onto is not None, BLOCK=block, num_warps=_warps(block),
    )  # fmt: skip
    return y, inverse


def rms_backward(
    grad: Tensor, x: Tensor, factors: Factors, inverse: Tensor, *, of_modulation: bool
) -> tuple[Tensor, Tensor | None]:
    """(dx, the modulation's gradient [B, 1, D] if it is wanted)."""
    width, rows = x.shape[-1], x.numel() // x.shape[-1]
    tokens, stride = _tokens(rows, factors.modulation)
    samples, programs = rows // tokens, triton.cdiv(tokens, ROWS)
    dx = torch.empty_like(x)
    parts = torch.empty(samples, programs if of_modulation else 0, width, dtype=torch.float32, device=x.device)
    block, mode = triton.next_power_of_2(width), MODES[factors.mode]
    _rms_backward[(programs, samples)](
        grad, x, *factors.given(), inverse, dx, parts, tokens, width, stride, MODE=mode, SUM=of_modulation, ROWS=ROWS,
        BLOCK=block, num_warps=_warps(block),
    )  # fmt: skip
    if not of_modulation or factors.modulation is None:
        return dx, None
    out = torch.empty(factors.modulation.shape, dtype=factors.modulation.dtype, device=x.device)
    _modulation_backward[(triton.cdiv(width, COLUMNS), samples)](
        parts, *factors.given(), out, programs, width, stride, MODE=mode, BLOCK=COLUMNS, num_warps=1
    )
    return dx, out


def _tokens(rows: int, modulation: Tensor | None) -> tuple[int, int]:
    """Rows of each sample, and numbers from a sample's modulation to the next one's."""
    return (rows, 0) if modulation is None else (rows // modulation.shape[0], modulation.stride(0))


def _warps(block: int) -> int:
    return min(8, max(1, block // 256))


@triton.jit
def _rms_root(values, real, PAIRS: tl.constexpr, eps):
    squares = tl.where(real, values * values, 0.0)
    return 1 / tl.sqrt(tl.sum(tl.sum(squares, axis=2), axis=1) / (2 * PAIRS) + eps)


@triton.jit
def _heads_forward(  # noqa: PLR0913
    qkv, q_weight, k_weight, table, q, k, eps,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, PAIRS: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token, first_head = tl.program_id(0).to(tl.int64), tl.program_id(1) * GROUP
    head, pair, part = tl.arange(0, GROUP), tl.arange(0, BLOCK), tl.arange(0, 2)
    inner = pair[:, None] * 2 + part[None, :]
    own = (pair < PAIRS)[:, None]
    places = head[:, None, None] * (2 * PAIRS) + inner[None, :, :]
    real = (head[:, None, None] >= 0) & own[None, :, :]
    width = 2 * PAIRS
    begin = token * ((HEADS + 2 * KV_HEADS) * width) + first_head * width
    values = tl.load(qkv + begin + places, mask=real, other=0.0).to(tl.float32)
    values *= _rms_root(values, real, PAIRS, eps)[:, None, None]
    cosine, sine = tl.split(tl.load(table + token * width + inner, mask=own, other=0.0))
    if first_head < HEADS:
        weight = tl.load(q_weight + inner, mask=own, other=0.0).to(tl.float32)
        target = q + token * (HEADS * width) + first_head * width
    else:
        weight = tl.load(k_weight + inner, mask=own, other=0.0).to(tl.float32)
        target = k + token * (KV_HEADS * width) + (first_head - HEADS) * width
    first, second = tl.split(values * weight[None, :, :])
    turned = tl.join(first * cosine[None, :] - second * sine[None, :], first * sine[None, :] + second * cosine[None, :])
    tl.store(target + places, turned.to(q.dtype.element_ty), mask=real)


@triton.jit(do_not_specialize=["tokens"])
def _heads_backward(  # noqa: PLR0913
    dq, dk, dv, qkv, q_weight, k_weight, table, out, tokens, eps,
    q_sample, q_token, q_head, k_sample, k_token, k_head, v_sample, v_token, v_head,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, PAIRS: tl.constexpr, GROUP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row, first_head = tl.program_id(0).to(tl.int64), tl.program_id(1) * GROUP
    sample, token = row // tokens, row % tokens
    head, pair, part = tl.arange(0, GROUP), tl.arange(0, BLOCK), tl.arange(0, 2)
    inner = pair[:, None] * 2 + part[None, :]
    own = (pair < PAIRS)[:, None]
    places = head[:, None, None] * (2 * PAIRS) + inner[None, :, :]
    real = (head[:, None, None] >= 0) & own[None, :, :]
    width = 2 * PAIRS
    begin = row * ((HEADS + 2 * KV_HEADS) * width) + first_head * width
    wide = head.to(tl.int64)[:, None, None]
    if first_head >= HEADS + KV_HEADS:
        number = first_head - HEADS - KV_HEADS
        source = dv + sample * v_sample + token * v_token + number * v_head
        kept = tl.load(source + wide * v_head + inner[None, :, :], mask=real, other=0.0)
        tl.store(out + begin + places, kept.to(out.dtype.element_ty), mask=real)
    else:
        if first_head < HEADS:
            weight = tl.load(q_weight + inner, mask=own, other=0.0).to(tl.float32)
            source = dq + sample * q_sample + token * q_token + first_head * q_head
            incoming = tl.load(source + wide * q_head + inner[None, :, :], mask=real, other=0.0).to(tl.float32)
        else:
            weight = tl.load(k_weight + inner, mask=own, other=0.0).to(tl.float32)
            source = dk + sample * k_sample + token * k_token + (first_head - HEADS) * k_head
            incoming = tl.load(source + wide * k_head + inner[None, :, :], mask=real, other=0.0).to(tl.float32)
        cosine, sine = tl.split(tl.load(table + row * width + inner, mask=own, other=0.0))
        first, second = tl.split(incoming)
        back = tl.join(
            first * cosine[None, :] + second * sine[None, :], second * cosine[None, :] - first * sine[None, :]
        )
        values = tl.load(qkv + begin + places, mask=real, other=0.0).to(tl.float32)
        root = _rms_root(values, real, PAIRS, eps)[:, None, None]
        values *= root
        back *= weight[None, :, :]
        mean = tl.sum(tl.sum(back * values, axis=2), axis=1) / (2 * PAIRS)
        grad = root * (back - values * mean[:, None, None])
        tl.store(out + begin + places, grad.to(out.dtype.element_ty), mask=real)


def heads_forward(
    qkv: Tensor, weights: tuple[Tensor, Tensor], table: Tensor, heads: tuple[int, int], eps: float
) -> tuple[Tensor, Tensor]:
    """q [B, T, H, D] and k [B, T, Hkv, D], normed per head and rotated, of qkv [B, T, (H + 2 Hkv) D].

    weights: of the norms of q and of k, [D] each. table: cosines and sines, fp32 [B, T, 1, D / 2, 2].
    """
    width, group = weights[0].numel(), _group(heads)
    q, k = (qkv.new_empty(*qkv.shape[:2], count, width) for count in heads)
    _heads_forward[(qkv.shape[0] * qkv.shape[1], sum(heads) // group)](
        qkv, *weights, table, q, k, eps, HEADS=heads[0], KV_HEADS=heads[1], PAIRS=width // 2, GROUP=group,
        BLOCK=triton.next_power_of_2(width // 2), num_warps=HEAD_WARPS,
    )  # fmt: skip
    return q, k


def heads_backward(
    grads: tuple[Tensor, Tensor, Tensor], qkv: Tensor, weights: tuple[Tensor, Tensor], table: Tensor,
    of: tuple[tuple[int, int], float],
) -> Tensor:  # fmt: skip
    """The gradient of qkv, of those of q, k and v [B, T, heads, D]: any strides whose last is 1.

    of: heads and eps, as they were given to `heads_forward`.
    """
    heads, eps = of
    width, group = weights[0].numel(), _group(heads)
    grads = tuple(grad if grad.stride(-1) == 1 else grad.contiguous() for grad in grads)  # type: ignore[assignment]
    strides = [stride for grad in grads for stride in grad.stride()[:3]]
    out = torch.empty_like(qkv)
    _heads_backward[(qkv.shape[0] * qkv.shape[1], (heads[0] + 2 * heads[1]) // group)](
        *grads, qkv, *weights, table, out, qkv.shape[1], eps, *strides, HEADS=heads[0], KV_HEADS=heads[1],
        PAIRS=width // 2, GROUP=group, BLOCK=triton.next_power_of_2(width // 2), num_warps=HEAD_WARPS,
    )  # fmt: skip
    return out


def _group(heads: tuple[int, int]) -> int:
    """The largest power of two up to GROUP that divides both counts."""
    return next(size for size in (8, 4, 2, 1) if size <= GROUP and not any(count % size for count in heads))


@triton.jit
def _gate_forward(a, b, out, count, BLOCK: tl.constexpr):
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = places < count
    wide = tl.load(a + places, mask=real, other=0.0).to(tl.float32)
    gated = wide * tl.sigmoid(wide) * tl.load(b + places, mask=real, other=0.0).to(tl.float32)
    tl.store(out + places, gated.to(out.dtype.element_ty), mask=real)


@triton.jit
def _gate_backward(grad, a, b, da, db, count, BLOCK: tl.constexpr):
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = places < count
    wide = tl.load(a + places, mask=real, other=0.0).to(tl.float32)
    other = tl.load(b + places, mask=real, other=0.0).to(tl.float32)
    incoming = tl.load(grad + places, mask=real, other=0.0).to(tl.float32)
    share = tl.sigmoid(wide)
    tl.store(db + places, (incoming * wide * share).to(db.dtype.element_ty), mask=real)
    slope = share * (1 + wide * (1 - share))
    tl.store(da + places, (incoming * other * slope).to(da.dtype.element_ty), mask=real)


def gate_forward(a: Tensor, b: Tensor) -> Tensor:
    """silu(a) * b."""
    out = torch.empty_like(a)
    _gate_forward[(triton.cdiv(a.numel(), ELEMENTS),)](a, b, out, a.numel(), BLOCK=ELEMENTS)
    return out


def gate_backward(grad: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of a and b."""
    da, db = torch.empty_like(a), torch.empty_like(b)
    _gate_backward[(triton.cdiv(a.numel(), ELEMENTS),)](grad, a, b, da, db, a.numel(), BLOCK=ELEMENTS)
    return da, db


@triton.jit
def _masked_sum(base, branch, kept, out, factor, count, BLOCK: tl.constexpr):
    places = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    real = places < count
    share = tl.load(kept + places, mask=real, other=0).to(tl.float32) * factor
    total = tl.load(base + places, mask=real, other=0.0).to(tl.float32)
    total += share * tl.load(branch + places, mask=real, other=0.0).to(tl.float32)
    tl.store(out + places, total.to(out.dtype.element_ty), mask=real)


def masked_sum(base: Tensor, branch: Tensor, kept: Tensor, factor: float) -> Tensor:
    """base + branch * factor where `kept` (bool) is True, base elsewhere."""
    out = torch.empty_like(base)
    # Triton knows no bool in memory.
    _masked_sum[(triton.cdiv(base.numel(), ELEMENTS),)](
        base, branch, kept.view(torch.uint8), out, factor, base.numel(), BLOCK=ELEMENTS
    )
    return out
