"""The reference figures of the transformer in bfloat16, and on a card."""

import pytest
import torch
from test_nextdit import FIGURES, inputs_of, model_of

BF16, FP32 = torch.bfloat16, torch.float32
# Largest difference of a number of the velocity, in its standard deviations; bf16 has 8 bits, and sums of many.
NEAR = {FP32: 1e-3, BF16: 0.06}


@pytest.mark.parametrize("case", FIGURES["forward"], ids=lambda case: case["tag"])
@pytest.mark.parametrize(
    ("device", "dtype"),
    [
        ("cpu", BF16),
        pytest.param("cuda", FP32, marks=pytest.mark.gpu),
        pytest.param("cuda", BF16, marks=pytest.mark.gpu),
    ],
)
@torch.no_grad()
def test_velocity(device: str, dtype: torch.dtype, case: dict) -> None:
    x, feats, lengths, pooled, _ = inputs_of(case, case["batch"])
    given = pooled.to(device) if case["clip_text_pooled"] else None
    model, t = model_of(case).to(device), torch.tensor(case["timesteps"])
    with torch.autocast(device, dtype, enabled=dtype != FP32):
        velocity = model(x.to(device), t.to(device), feats.to(device), lengths, given).float().cpu().flatten()
    wanted = case["velocity"]
    assert velocity.norm().item() == pytest.approx(wanted["norm"], rel=NEAR[dtype] / 10)
    off = (velocity[wanted["indices"]] - torch.tensor(wanted["values"])).abs() / wanted["std"]
    assert off.max() < NEAR[dtype]
