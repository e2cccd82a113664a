"""Floating-point operations of a training step, a multiply-add counted as two.

With T tokens of a sample (caption + image), a block's frozen linears cost 2 * T * in * out each in the forward pass
and as much again in the backward pass for the gradient of their input; their own weights get none. LoRA of rank r
adds 2 * T * r * (in + out) forward and twice that backward (gradients of its weights and of its input). Attention
costs 4 * T^2 * dim forward and 8 * T^2 * dim backward. A layer through which nothing trained lies upstream has no
input gradient. Norms, rotations and other elementwise work are left out: they move bytes rather than multiply.

`model` counts what the mathematics needs; `executed` adds the second forward pass of checkpointed layers. Flash
kernels also recompute the scores in their backward pass (2 * T^2 * dim more), which neither counts.
"""

from dataclasses import dataclass

from trainer_core.planning.activations import Pass, activations
from trainer_core.planning.shapes import Dimensions, Targets
from trainer_core.planning.tape import Flops


@dataclass(frozen=True, kw_only=True)
class StepFlops:
    """Of one micro-batch."""

    parts: Flops
    recomputed: int

    @property
    def model(self) -> int:
        return self.parts.forward + self.parts.backward

    @property
    def executed(self) -> int:
        return self.model + self.recomputed


def step_flops(dims: Dimensions, targets: Targets, run: Pass) -> StepFlops:
    """FLOPs of forward and backward of one micro-batch."""
    result = activations(dims, targets, run)
    return StepFlops(parts=result.flops, recomputed=result.recompute_flops)
