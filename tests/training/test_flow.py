"""The linear path, its velocity and the time shift against closed forms."""

import math

import pytest
import torch

from trainer_core.training.flow import draw_time, interpolate, shift_mu, shift_time, velocity_loss


def test_mu_is_linear_in_the_token_count_and_goes_on_beyond() -> None:
    assert shift_mu(256) == 0.5
    assert shift_mu(4096) == pytest.approx(1.15)
    assert shift_mu(64) == pytest.approx(0.5 - 192 * 0.65 / 3840)
    assert shift_mu(9216) == pytest.approx(2.016667, rel=1e-6)


@pytest.mark.parametrize("mu", [0.0, 0.5, 1.15, 2.0])
def test_the_shift_is_the_published_formula(mu: float) -> None:
    t = torch.linspace(0.01, 0.99, 25, dtype=torch.float64)
    noise_share = math.exp(mu) / (math.exp(mu) + 1 / (1 - t) - 1)
    torch.testing.assert_close(shift_time(t, mu), 1 - noise_share)
    assert shift_time(torch.tensor([0.0, 1.0]), mu).tolist() == [0.0, 1.0]


def test_interpolation_runs_from_noise_to_data_for_each_sample() -> None:
    data, noise = torch.randn(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    x = interpolate(data, noise, torch.tensor([0.0, 1.0, 0.25]))
    assert torch.equal(x[0], noise[0])
    assert torch.equal(x[1], data[1])
    torch.testing.assert_close(x[2], 0.25 * data[2] + 0.75 * noise[2])


def test_the_loss_is_per_sample_in_fp32_and_zero_for_the_true_velocity() -> None:
    data, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    assert velocity_loss(data - noise, data, noise).tolist() == [0.0, 0.0]
    loss = velocity_loss((data - noise + torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)), data, noise)
    torch.testing.assert_close(loss, torch.tensor([1.0, 4.0]))
    assert velocity_loss((data - noise).bfloat16(), data, noise).dtype == torch.float32


@pytest.mark.parametrize(("kind", "middle"), [("uniform", 0.5), ("lognorm", 0.5)])
def test_times_are_keyed_and_of_their_distribution(kind: str, middle: float) -> None:
    times = torch.stack([draw_time(kind, torch.Generator().manual_seed(seed)) for seed in range(800)])
    again = draw_time(kind, torch.Generator().manual_seed(5))
    assert torch.equal(again, times[5])
    assert times.mean().item() == pytest.approx(middle, abs=0.04)
    # The standard deviations of U(0, 1) and of a logistic-normal.
    assert times.std().item() == pytest.approx(0.289 if kind == "uniform" else 0.208, abs=0.02)
    assert 0 <= times.min() and times.max() < 1
