"""Our transformer against the reference figures of the official one."""

import json
from pathlib import Path

import pytest
import torch
from hash_noise import fill, hash_noise
from torch import Tensor

from trainer_core.model.nextdit import NextDiT

FIGURES = json.loads((Path(__file__).parent / "data" / "newbie-figures.json").read_text(encoding="utf-8"))
RELATIVE = 1e-4


def model_of(case: dict) -> NextDiT:
    model = NextDiT(**case["config"])
    fill(model)
    return model


def inputs_of(case: dict, batch: int) -> tuple[Tensor, Tensor, list[int], Tensor, Tensor]:
    tag, config, tokens = case["tag"], case["config"], case["caption_tokens"]
    x = hash_noise(f"{tag}.x", (batch, *case["latent"]))
    feats = hash_noise(f"{tag}.cap_feats", (batch, tokens, config["cap_feat_dim"]))
    pooled = hash_noise(f"{tag}.clip_text_pooled", (batch, config["clip_text_dim"]))
    noise = hash_noise(f"{tag}.noise", (batch, *case["latent"]))
    return x, feats, case["caption_lengths"], pooled, noise


def assert_statistics(velocity: Tensor, figures: dict) -> None:
    flat = velocity.detach().flatten()
    assert flat.numel() == figures["numel"]
    assert flat.norm().item() == pytest.approx(figures["norm"], rel=RELATIVE)
    assert flat.std(correction=0).item() == pytest.approx(figures["std"], rel=RELATIVE)
    torch.testing.assert_close(
        flat[figures["indices"]],
        torch.tensor(figures["values"]),
        rtol=RELATIVE,
        atol=RELATIVE * figures["std"],
    )


@pytest.mark.parametrize("case", FIGURES["forward"], ids=lambda case: case["tag"])
def test_forward_loss_and_gradients(case: dict) -> None:
    model = model_of(case)
    x, feats, lengths, pooled, noise = inputs_of(case, case["batch"])
    t = torch.tensor(case["timesteps"])
    # The reference feeds x itself for the velocity, the interpolated x_t for the loss.
    given = pooled if case["clip_text_pooled"] else None
    assert_statistics(model(x, t, feats, lengths, given), case["velocity"])
    x_t = t.view(-1, 1, 1, 1) * x + (1 - t.view(-1, 1, 1, 1)) * noise
    per_sample = (model(x_t, t, feats, lengths, given) - (x - noise)).square().mean(dim=(1, 2, 3))
    assert per_sample.tolist() == pytest.approx(case["loss_per_sample"], rel=RELATIVE)
    per_sample.mean().backward()
    parameters = dict(model.named_parameters())
    norms = {name: parameters[name].grad.norm().item() for name in case["grad_norms"] if case["grad_norms"][name]}
    assert norms == pytest.approx({k: v for k, v in case["grad_norms"].items() if v}, rel=RELATIVE)


def test_gradient_checkpointing_changes_nothing() -> None:
    case = FIGURES["forward"][1]
    x, feats, lengths, pooled, _ = inputs_of(case, 2)
    gradients = []
    for checkpointing, skip_every in ((False, 0), (True, 0), (True, 2)):
        model = model_of(case).train()
        model.gradient_checkpointing, model.checkpoint_skip_every = checkpointing, skip_every
        model(x, torch.tensor([0.1, 0.9]), feats, lengths, pooled).square().mean().backward()
        gradients.append({name: p.grad for name, p in model.named_parameters() if p.grad is not None})
    full, *others = gradients
    assert all(torch.equal(full[name], other[name]) for other in others for name in full)


def test_blocks_that_keep_their_activations_run_once() -> None:
    case = FIGURES["forward"][1]
    x, feats, lengths, pooled, _ = inputs_of(case, 2)
    model = model_of(case).train()
    runs = [0] * len(model.layers)
    for number, block in enumerate(model.layers):
        block.feed_forward.register_forward_hook(lambda *_, at=number: runs.__setitem__(at, runs[at] + 1))
    model.gradient_checkpointing, model.checkpoint_skip_every = True, 2
    model(x, torch.tensor([0.1, 0.9]), feats, lengths, pooled).square().mean().backward()
    assert runs == [1 if number % 2 else 2 for number in range(len(runs))] and 1 in runs


def test_a_sample_does_not_depend_on_its_neighbours_padding() -> None:
    case = FIGURES["forward"][1]
    model = model_of(case)
    x, feats, lengths, pooled, _ = inputs_of(case, 2)
    t = torch.tensor([0.1, 0.9])
    together = model(x, t, feats, lengths, pooled)[1]
    alone = model(x[1:], t[1:], feats[1:, :9], lengths[1:], pooled[1:])[0]
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "tokens", "word"), [(7, 4, "multiples"), (8, 300, "axes_lens")])
def test_impossible_shapes_are_refused(height: int, tokens: int, word: str) -> None:
    case = FIGURES["forward"][0]
    model = NextDiT(**case["config"])
    with pytest.raises(ValueError, match=word):
        model(
            torch.zeros(1, 16, height, 8),
            torch.tensor([0.5]),
            torch.zeros(1, tokens, 40),
            (tokens,),
            torch.zeros(1, 24),
        )
