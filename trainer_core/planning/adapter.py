"""What an adapter puts beside a linear layer, LoRA's halves or LoKr's factors: the tensors' shapes, without torch."""

import math
from dataclasses import dataclass

from trainer_core.contracts.config import TrainConfig

Shapes = dict[str, tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class LoraShape:
    """B A of one rank."""

    rank: int

    def of(self, rows: int, columns: int) -> Shapes:
        """Shapes by name for a weight [rows, columns]."""
        return {"lora_A": (self.rank, columns), "lora_B": (rows, self.rank)}


@dataclass(frozen=True, kw_only=True)
class LokrShape:
    """w1 (x) w2, the Kronecker product, as LyCORIS divides a layer: w1 is the small factor and always whole.

    Attributes:
        factor: side of w1 where it divides the layer's; 0 divides as evenly as can be.
        rank: of w2's halves; 0, or half of w2's longer side or more, keeps w2 whole.
    """

    factor: int
    rank: int = 0

    def of(self, rows: int, columns: int) -> Shapes:
        """Shapes by name for a weight [rows, columns]."""
        (outer_rows, inner_rows), (outer_columns, inner_columns) = self._divided(rows), self._divided(columns)
        shapes = {"lokr_w1": (outer_rows, outer_columns)}
        if not self.rank or 2 * self.rank >= max(inner_rows, inner_columns):
            return {**shapes, "lokr_w2": (inner_rows, inner_columns)}
        return {**shapes, "lokr_w2_a": (inner_rows, self.rank), "lokr_w2_b": (self.rank, inner_columns)}

    def _divided(self, side: int) -> tuple[int, int]:
        """Two factors of `side`, the smaller first (LyCORIS 4.1.3, `factorization`)."""
        if self.factor and side % self.factor == 0:
            one = self.factor
        else:
            most = min(self.factor or side, math.isqrt(side))
            one = next(divisor for divisor in range(most, 0, -1) if side % divisor == 0)
        return min(one, side // one), max(one, side // one)


AdapterShape = LoraShape | LokrShape


def adapter_shape(config: TrainConfig) -> AdapterShape:
    """What a config asks for."""
    if config.adapter_type == "lokr":
        return LokrShape(factor=config.lokr_factor, rank=config.lokr_rank)
    return LoraShape(rank=config.lora_rank)
