"""A LoRA in memory: per module two halves or two factors, alpha, perhaps a DoRA magnitude; its change of a weight."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import torch
from torch import Tensor

from trainer_core.planning.lora_slots import weight_shape

ALL_ROWS = slice(None)


@dataclass(frozen=True, kw_only=True)
class ModuleAdapter(ABC):
    """One module's adapter, of whatever kind. Its tensors are fp32.

    Attributes:
        magnitude: [out], of a DoRA.
        over_base: the magnitude is to be divided by the row norms of the base (ComfyUI), not of base + delta.
        dtype: what the file stores.
    """

    alpha: float
    magnitude: Tensor | None = None
    over_base: bool = False
    dtype: torch.dtype = torch.float32

    @property
    @abstractmethod
    def weights(self) -> Mapping[str, Tensor]:
        """What it is trained in, without the magnitude, by role (`planning.lora_names.Key`)."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """(out, in) of the weight it changes."""

    @abstractmethod
    def on(self, device: torch.device) -> Self:
        """The same with its tensors there."""

    @abstractmethod
    def delta(self, device: torch.device | str = "cpu", rows: slice = ALL_ROWS) -> Tensor:
        """What it adds before a magnitude is looked at, fp32 [out, in], or some rows of it."""

    @property
    def numbers(self) -> int:
        """How many it holds."""
        return sum(tensor.numel() for tensor in (*self.weights.values(), self.magnitude) if tensor is not None)

    def change(self, weight: Tensor, rows: slice = ALL_ROWS) -> Tensor:
        """W' - W for these rows of the base's weight, fp32 on its device; every row stands for itself."""
        delta = self.delta(weight.device, rows)
        if self.magnitude is None:
            return delta
        moved = delta.add_(weight)
        norms = row_norms(weight if self.over_base else moved)
        factor = self.magnitude[rows].to(weight.device) / norms.clamp_min(torch.finfo(torch.float32).tiny)
        return moved.mul_(factor[:, None]).sub_(weight)


@dataclass(frozen=True, kw_only=True)
class LoraModule(ModuleAdapter):
    """scale * B A: down (A) [rank, in], up (B) [out, rank]."""

    down: Tensor
    up: Tensor

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return {"down": self.down, "up": self.up}

    @property
    def rank(self) -> int:
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    @property
    def shape(self) -> tuple[int, int]:
        return self.up.shape[0], self.down.shape[1]

    def on(self, device: torch.device) -> Self:
        magnitude = None if self.magnitude is None else self.magnitude.to(device)
        return replace(self, down=self.down.to(device), up=self.up.to(device), magnitude=magnitude)

    def delta(self, device: torch.device | str = "cpu", rows: slice = ALL_ROWS) -> Tensor:
        return (self.up[rows].to(device) @ self.down.to(device)).mul_(self.scale)


@dataclass(frozen=True, kw_only=True)
class LokrModule(ModuleAdapter):
    """A LoKr, scale * w1 (x) w2, the Kronecker product: its row r is w1's row r // len(w2) times w2's r % len(w2).

    `factors`: w1 and w2, each whole or as w1_a [rows, rank] and w1_b [rank, columns]. `scale` is alpha / rank, or 1
    where both are whole (LyCORIS 4.1.3, ComfyUI 0.26).
    """

    factors: Mapping[str, Tensor]
    scale: float

    @property
    def weights(self) -> Mapping[str, Tensor]:
        return self.factors

    @property
    def shape(self) -> tuple[int, int]:
        return weight_shape({role: tuple(tensor.shape) for role, tensor in self.factors.items()})

    def on(self, device: torch.device) -> Self:
        magnitude = None if self.magnitude is None else self.magnitude.to(device)
        return replace(self, factors={n: tensor.to(device) for n, tensor in self.factors.items()}, magnitude=magnitude)

    def delta(self, device: torch.device | str = "cpu", rows: slice = ALL_ROWS) -> Tensor:
        w1, w2 = self.factor("w1", device), self.factor("w2", device)
        wanted = torch.arange(self.shape[0], device=device)[rows]
        outer, inner = w1[wanted // len(w2)], w2[wanted % len(w2)]
        return (outer[:, :, None] * inner[:, None, :]).reshape(len(wanted), -1).mul_(self.scale)

    def factor(self, name: str, device: torch.device | str = "cpu") -> Tensor:
        """w1 or w2 whole."""
        if name in self.factors:
            return self.factors[name].to(device)
        return self.factors[f"{name}_a"].to(device) @ self.factors[f"{name}_b"].to(device)


def row_norms(weight: Tensor) -> Tensor:
    """L2 norm of each row, fp32 [out]."""
    return torch.linalg.vector_norm(weight, dim=1, dtype=torch.float32)


@dataclass(frozen=True, kw_only=True)
class LoraFile:
    """A LoRA by official module name; `notes` are sentences for the user."""

    path: Path
    modules: Mapping[str, ModuleAdapter]
    metadata: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def is_dora(self) -> bool:
        return any(module.magnitude is not None for module in self.modules.values())

    @property
    def is_lokr(self) -> bool:
        return any(isinstance(module, LokrModule) for module in self.modules.values())

    @property
    def halves(self) -> Mapping[str, LoraModule]:
        """The modules that are two halves: all, unless it is a LoKr."""
        return {name: module for name, module in self.modules.items() if isinstance(module, LoraModule)}


def fused(parts: Mapping[str, LoraModule]) -> LoraModule:
    """qkv of split q, k, v: ranks side by side, B block-diagonal; a part that is absent does not change its rows.

    Raises ValueError with one clause that says why not.
    """
    present = list(parts.values())
    width = present[0].shape[1]
    some_kv = parts.get("k") or parts.get("v")
    if any(part.shape[1] != width for part in present) or some_kv is None:
        raise ValueError(f"its rows cannot be told from {', '.join(sorted(parts))} alone")
    rows = {"q": width, "k": some_kv.shape[0], "v": some_kv.shape[0]}
    wrong = [name for name, part in parts.items() if part.shape[0] != rows[name]]
    if wrong:
        raise ValueError(f"{', '.join(wrong)} has another number of rows than NewBie's")
    if any((part.magnitude is None) != (len(parts) < 3 or present[0].magnitude is None) for part in present):
        raise ValueError("not all of its parts are DoRA")
    ordered = [parts[name] for name in "qkv" if name in parts]
    same_scale = len({part.scale for part in ordered}) == 1
    shared = len(parts) == 3 and same_scale and all(torch.equal(part.down, ordered[0].down) for part in ordered)
    if shared:
        down, up = ordered[0].down, torch.cat([part.up for part in ordered])
    else:
        down = torch.cat([part.down for part in ordered])
        # Scales that differ go into B.
        blocks = [
            (parts[name].up if same_scale else parts[name].up * parts[name].scale)
            if name in parts
            else torch.zeros(rows[name], 0)
            for name in "qkv"
        ]
        up = torch.block_diag(*blocks)
    magnitudes = [part.magnitude for part in ordered if part.magnitude is not None]
    return LoraModule(
        down=down,
        up=up,
        # Not scale * rank, which may be another number in the last digit.
        alpha=ordered[0].alpha if shared else (ordered[0].scale if same_scale else 1.0) * down.shape[0],
        magnitude=torch.cat(magnitudes) if magnitudes else None,
        over_base=ordered[0].over_base,
        dtype=ordered[0].dtype if len({part.dtype for part in ordered}) == 1 else torch.float32,
    )


def split(module: LoraModule) -> dict[str, LoraModule]:
    """q, k, v of a fused qkv: the same A, their rows of B. Raises ValueError with one clause that says why not."""
    rows, width = module.shape
    keys, odd = divmod(rows - width, 2)
    if keys < 1 or odd:
        raise ValueError(f"its {rows} rows over an input of {width} are not a query, a key and a value")
    bounds = {"q": slice(0, width), "k": slice(width, width + keys), "v": slice(width + keys, rows)}
    return {
        name: replace(
            module,
            up=module.up[part],
            magnitude=None if module.magnitude is None else module.magnitude[part],
        )
        for name, part in bounds.items()
    }
