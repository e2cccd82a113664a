"""One real training pass of a small NextDiT with LoRA, and the same pass as the planner sees it."""

import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from trainer_core.model.nextdit import NextDiT
from trainer_core.model.quantised import quantise_blocks
from trainer_core.planning.adapter import AdapterShape, LokrShape, LoraShape
from trainer_core.planning.shapes import Dimensions, Targets, matching
from trainer_core.planning.tape import Pass
from trainer_core.training.adapters import add_adapter
from trainer_core.training.flow import velocity_loss

DEFAULT = ("attention.qkv", "attention.out", "feed_forward.w2", "time_text_embed.1", "clip_text_pooled_proj.1")
ATTENTION = ("attention.qkv", "attention.out", "time_text_embed.1")
FULL = (*DEFAULT, "feed_forward.w1", "feed_forward.w3", "adaLN_modulation.1", "cap_embedder.1")


@dataclass(frozen=True, kw_only=True)
class Case:
    """Sizes of model, adapter and batch. `short` samples of the batch have half the caption."""

    dim: int = 96
    heads: int = 4
    kv_heads: int = 2
    layers: int = 3
    refiners: int = 1
    targets: tuple[str, ...] = DEFAULT
    rank: int = 4
    lokr: LokrShape | None = None
    dropout: float = 0.0
    batch: int = 1
    side: int = 16
    caption: int = 24
    precision: str = "bf16"
    checkpointing: bool = False
    skip_every: int = 0
    quantise: str = "no"
    short: int = 0

    @property
    def dims(self) -> Dimensions:
        return Dimensions(
            dim=self.dim, n_heads=self.heads, n_kv_heads=self.kv_heads, n_layers=self.layers,
            n_refiner_layers=self.refiners, axes_dims=(self.dim // self.heads // 3,) * 3, cap_feat_dim=160,
            clip_text_dim=96,
        )  # fmt: skip

    @property
    def matched(self) -> Targets:
        return matching(self.dims, self.targets)

    @property
    def adapter(self) -> AdapterShape:
        return self.lokr or LoraShape(rank=self.rank)

    @property
    def planned(self) -> Pass:
        return Pass(
            latent_height=self.side, latent_width=self.side, caption_tokens=self.caption, batch=self.batch,
            adapter=self.adapter, dropout=self.dropout, precision=self.precision, checkpointing=self.checkpointing,
            skip_every=self.skip_every, quantised=self.quantise != "no",
            cuda=False,
        )  # fmt: skip


class RealPass:
    """Model and batch of a case; `forward` gives the loss as training computes it."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.model = NextDiT(**vars(case.dims)).to(torch.float32 if case.precision == "no" else torch.bfloat16)
        if case.quantise != "no":
            quantise_blocks(self.model, case.quantise)
        self.adapter = add_adapter(
            self.model, case.adapter, targets=case.targets, alpha=1.0, dropout=case.dropout, seed=0
        )
        self.model.gradient_checkpointing = case.checkpointing
        self.model.checkpoint_skip_every = case.skip_every
        self.model.train()
        lengths = [case.caption] * (case.batch - case.short) + [case.caption // 2] * case.short
        self.data = torch.randn(case.batch, 16, case.side, case.side)
        self.inputs = (
            torch.randn(self.data.shape), torch.rand(case.batch), torch.randn(case.batch, case.caption, 160), lengths,
            torch.randn(case.batch, 96),
        )  # fmt: skip

    def forward(self) -> Tensor:
        low = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(self.case.precision)
        with torch.autocast("cpu", low, enabled=low is not None):
            velocity = self.model(*self.inputs)
        return velocity_loss(velocity, self.data, self.inputs[0]).sum() / self.case.batch

    def parameter_storages(self) -> set[int]:
        return {p.untyped_storage().data_ptr() for p in self.model.parameters()}


class Saved:
    """What autograd holds for the backward pass: storages of tensors that are packed and still referenced."""

    def __init__(self, ignored: set[int]) -> None:
        self._ignored = ignored
        self._handles: weakref.WeakSet[Any] = weakref.WeakSet()

    @contextmanager
    def watching(self) -> Iterator[None]:
        with torch.autograd.graph.saved_tensors_hooks(self._pack, lambda handle: handle.tensor):
            yield

    def _pack(self, tensor: Tensor) -> "_Handle":
        handle = _Handle(tensor)
        self._handles.add(handle)
        return handle

    def bytes(self) -> int:
        """Each storage once, parameters left out."""
        sizes = {}
        for handle in self._handles:
            storage = handle.tensor.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
        return sum(size for pointer, size in sizes.items() if pointer not in self._ignored)


class _Handle:
    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def adapter_bytes(real: RealPass) -> int:
    return sum(4 * math.prod(p.shape) for p in real.adapter.values())
