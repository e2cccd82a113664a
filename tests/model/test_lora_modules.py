"""What a module's adapter adds to a weight: a LoKr against the Kronecker product, whole and by rows."""

import pytest
import torch
from torch import Tensor

from trainer_core.model.lora_modules import LokrModule

W1, W2 = torch.randn(4, 3), torch.randn(6, 5)
A, B = torch.randn(6, 2), torch.randn(2, 5)
C, D = torch.randn(4, 2), torch.randn(2, 3)


@pytest.mark.parametrize(("factors", "wanted"), [
    ({"w1": W1, "w2": W2}, torch.kron(W1, W2)),
    ({"w1": W1, "w2_a": A, "w2_b": B}, torch.kron(W1, A @ B)),
    ({"w1_a": C, "w1_b": D, "w2_a": A, "w2_b": B}, torch.kron(C @ D, A @ B)),
])  # fmt: skip
def test_a_lokr_adds_the_kronecker_product_of_its_factors(factors: dict[str, Tensor], wanted: Tensor) -> None:
    module = LokrModule(factors=factors, alpha=1.0, scale=0.5)
    assert module.shape == (24, 15) and module.numbers == sum(factor.numel() for factor in factors.values())
    torch.testing.assert_close(module.delta(), wanted * 0.5)
    torch.testing.assert_close(module.change(torch.zeros(24, 15)[4:9], slice(4, 9)), wanted[4:9] * 0.5)
    # The last rows are asked for as far as there are any.
    torch.testing.assert_close(module.delta(rows=slice(20, 40)), wanted[20:] * 0.5)


def test_the_magnitude_of_a_lokr_holds_for_the_sum() -> None:
    weight, magnitude = torch.randn(24, 15), torch.rand(24) + 1
    module = LokrModule(factors={"w1": W1, "w2": W2}, alpha=1.0, scale=1.0, magnitude=magnitude)
    moved = weight + torch.kron(W1, W2)
    wanted = moved / moved.norm(dim=1, keepdim=True) * magnitude[:, None]
    torch.testing.assert_close(weight + module.change(weight), wanted)
