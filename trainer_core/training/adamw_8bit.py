"""bitsandbytes' AdamW8bit without its waiting. Imports bitsandbytes, so is itself imported only where that is used."""

from collections.abc import Callable

import torch
from bitsandbytes.optim import AdamW8bit


class AsyncAdamW8bit(AdamW8bit):
    """The same parameters and states, bit for bit; `step` only tells the device what to do."""

    initialized: bool

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """As `Optimizer8bit.step`, less a `torch.cuda.synchronize` after each parameter, hundreds in a step.

        Only paged states need that, which these are not. The kernels of the update go to CUDA's legacy default stream,
        which is the one that torch computes on unless told otherwise, and nothing in training tells it: so they begin
        when the gradients are there, and the next forward pass begins when they have ended.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not self.initialized:
            self.check_overrides()
            self.to_gpu()
            self.initialized = True
        for group_index, group in enumerate(self.param_groups):
            for index, parameter in enumerate(group["params"]):
                if parameter.grad is None:
                    continue
                if not self.state[parameter]:
                    self.init_state(group, parameter, group_index, index)
                self.update_step(group, parameter, group_index, index)
        return loss
