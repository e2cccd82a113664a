"""Which LoRAs a transformer holds already, by what its header says of each merge."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from trainer_core.planning.merged_loras import MergedLora, account_of, merged_again


@pytest.mark.parametrize(
    ("before", "strength", "told"),
    [
        ([0.7], 1.0, "0.7"), ([0.8, 0.2], 0.5, "1"), ([0.7], -0.7, ""), ([0.1, 0.2, -0.3], 1.0, ""), ([0.0], 1.0, ""),
        ([-0.5], 0.5, ""), ([-0.5], -0.5, "-0.5"), ([], 1.0, ""),
    ],
)  # fmt: skip
def test_what_is_in_there_counts_with_the_sum_of_its_strengths(
    before: list[float], strength: float, told: str, tmp_path: Path
):
    file = tmp_path / "model.safetensors"
    account = account_of([MergedLora(name="a.safetensors", strength=one) for one in before])
    save_file({"x": np.zeros(1, np.float32)}, file, dict(account))
    said = merged_again(file, [(tmp_path / "a.safetensors", strength)])
    assert [f"(strength {told})" in sentence for sentence in said] == ([True] if told else [])
