"""Watches fp16's loss scale: a step whose scaled gradients overflow is skipped, and the next is scaled by half as much.

Some skipped steps are normal: the first scale is 65536, and it is tried to double every 2000 steps. A run whose every
step is skipped learns nothing, while its loss looks as good as any.
"""

import math
from collections.abc import Callable

from trainer_core.training.loop import LaunchedStep, StepResult

# From 65536 down to 64: gradients that need less are far out of the ordinary.
WARN_AFTER = 10
STOP_AFTER = 30
# Below it, gradients that do not overflow vanish.
SMALLEST_SCALE = 1.0


class OverflowWatch:
    """Told of every step of a run.

    Args:
        scale: reads the present loss scale; asked after a skipped step only, for it waits for the device.
    """

    def __init__(self, scale: Callable[[], float]) -> None:
        self._scale = scale
        self._skipped = 0

    def step(self, launched: LaunchedStep, result: StepResult) -> str:
        """A sentence to warn with, or "". Raises UserError `non_finite` where the gradients will not recover."""
        if not launched.scaled or math.isfinite(result.grad_norm):
            self._skipped = 0
            return ""
        self._skipped += 1
        if self._skipped >= STOP_AFTER or self._scale() < SMALLEST_SCALE:
            raise launched.not_finite("gradient")
        if self._skipped != WARN_AFTER:
            return ""
        return (
            f"The gradients of {WARN_AFTER} steps in a row overflowed in fp16, so these steps changed nothing. If "
            'that goes on, the run stops; mixed_precision = "bf16" does not overflow.'
        )
