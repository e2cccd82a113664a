"""Names of what a run writes: made and read again."""

import pytest

from trainer_core.contracts.run_names import (
    checkpoint_name,
    checkpoint_step,
    export_name,
    export_step,
    peft_name,
    sample_name,
    sample_place,
)


@pytest.mark.parametrize("step", [0, 120, 123_456_789])
def test_what_is_made_is_read_again(step: int):
    assert checkpoint_step(checkpoint_name(step)) == step
    assert sample_place(sample_name(step, 100)) == (step, 100)
    # A run's own name may look like a step.
    file = export_name("again-step-7", step)
    assert export_step(file) == export_step(peft_name(file)) == step


@pytest.mark.parametrize(
    "name", ["step-best", "other.png", ".step-00000001.7.tmp", "ann.safetensors", "ann-step-1.txt"]
)
def test_other_names_have_no_step(name: str):
    assert checkpoint_step(name) is sample_place(name) is export_step(name) is None
