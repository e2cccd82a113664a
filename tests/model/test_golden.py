"""Guidance, the time shift and the full model's tensors against the reference figures of the official code."""

import hashlib

import pytest
import torch
from hash_noise import hash_noise
from test_nextdit import FIGURES, assert_statistics, model_of

from trainer_core.model.nextdit import NextDiT
from trainer_core.training.flow import shift_mu, shift_time
from trainer_core.training.sampling import TextFeatures, guided_velocity

# The official code can also limit the guided norm, which nothing here does.
PLAIN = [case for case in FIGURES["cfg"] if not case["renorm_cfg"]]


@pytest.mark.parametrize("case", PLAIN, ids=lambda case: case["tag"])
def test_guided_velocity(case: dict) -> None:
    config, tag = case["config"], case["tag"]
    x = hash_noise(f"{tag}.x", (2, *case["latent"]))[0]
    feats = hash_noise(f"{tag}.cap_feats", (2, case["caption_tokens"], config["cap_feat_dim"]))
    pooled = hash_noise(f"{tag}.clip_text_pooled", (2, config["clip_text_dim"]))
    positive, negative = (
        TextFeatures(cap_feats=feats[i, :length], pooled=pooled[i]) for i, length in enumerate(case["caption_lengths"])
    )
    with torch.no_grad():
        velocity = guided_velocity(model_of(case), x, case["timestep"], (positive, negative), case["cfg_scale"])
    assert_statistics(velocity, case["first_half"])


@pytest.mark.parametrize("case", FIGURES["time_shift"], ids=lambda case: case["resolution"])
def test_time_shift(case: dict) -> None:
    mu = shift_mu(case["image_tokens"])
    assert mu == pytest.approx(case["mu"], rel=1e-9)
    t = torch.tensor(case["u_normal"], dtype=torch.float64).sigmoid()
    assert shift_time(t, mu).tolist() == pytest.approx(case["t"], rel=1e-6)


def test_the_full_models_names_and_shapes() -> None:
    figures = FIGURES["full_model"]
    with torch.device("meta"):
        model = NextDiT(**figures["config"])
    lines = sorted(f"{name} {list(value.shape)}" for name, value in model.state_dict().items())
    assert set(figures["example_lines"]) <= set(lines)
    assert len(lines) == figures["tensors"] == 535
    assert sum(parameter.numel() for parameter in model.parameters()) == figures["parameters"] == 3_486_636_096
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == figures["sha256_of_sorted_name_shape_lines"]
