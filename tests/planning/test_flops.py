"""FLOPs against PyTorch's own counter, and the released model's."""

import pytest
import torch
from passes import ATTENTION, DEFAULT, FULL, Case, RealPass
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from trainer_core.planning.activations import activations
from trainer_core.planning.adapter import LokrShape, LoraShape
from trainer_core.planning.shapes import Dimensions, matching
from trainer_core.planning.tape import Pass


@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize(
    "case",
    [
        Case(layers=2, precision="no"),
        Case(layers=2, precision="no", targets=ATTENTION, batch=2),
        Case(layers=2, precision="no", targets=FULL, rank=16),
        Case(layers=2, precision="no", targets=("layers.1.feed_forward.w2",)),
        Case(layers=2, precision="no", targets=FULL, lokr=LokrShape(factor=4)),
    ],
    ids=("default", "attention", "full", "upstream is frozen", "lokr"),
)
def test_a_real_step_counts_as_planned(case: Case, checkpointing: bool):
    real = RealPass(case)
    real.model.gradient_checkpointing = checkpointing
    # The counter knows matrix products; attention must be made of them, and a product added in place is new to it.
    added = {torch.ops.aten.addmm_: lambda _, a, b, **__: 2 * a[0] * a[1] * b[1]}
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False, custom_mapping=added) as counter:
        real.forward().backward()
    run = case.planned if not checkpointing else type(case.planned)(**{**vars(case.planned), "checkpointing": True})
    assert activations(case.dims, case.matched, run).executed_flops == pytest.approx(
        counter.get_total_flops(), rel=0.03
    )


def test_the_released_model_at_1024_pixels_and_batch_1():
    """About 31 TFLOP forward and 37 of gradients towards the inputs, without a caption; recomputing costs 43 %."""
    run = Pass(latent_height=128, latent_width=128, caption_tokens=1, adapter=LoraShape(rank=32))
    found = activations(Dimensions(), matching(Dimensions(), DEFAULT), run)
    assert found.flops.forward / 1e12 == pytest.approx(30.0, abs=1.5)
    assert found.flops.backward / 1e12 == pytest.approx(36.0, abs=1.5)
    assert 1.35 < found.executed_flops / found.model_flops < 1.5
