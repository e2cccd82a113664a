"""Each step of the memory ladder with what it is worth."""

import re
from dataclasses import replace

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.ladder import ladder_hints, memory_hints, memory_ladder

LARGE = TrainConfig(
    base_model_path="nowhere",
    train_data_dir="d",
    train_batch_size=4,
    gradient_checkpointing=False,
    optimizer_type="AdamW",
    lora_rank=64,
)


def test_each_step_starts_where_the_one_before_ended_and_none_makes_it_larger() -> None:
    hints = ladder_hints(LARGE)
    assert len(hints) == len(memory_ladder(LARGE)) == 12
    peaks = [tuple(map(float, re.findall(r"([\d.]+) -> ([\d.]+) GiB", hint)[0])) for hint in hints]
    assert all(after <= before for before, after in peaks)
    assert [after for _, after in peaks[:-1]] == [before for before, _ in peaks[1:]]
    assert peaks[0][0] > 75 and 2.5 < peaks[-1][1] < 3.5


def test_nobody_is_sent_to_a_new_run_for_next_to_nothing() -> None:
    small, large = (
        ladder_hints(replace(LARGE, train_batch_size=1, lora_rank=rank, lora_target_modules=["attention.qkv"]))
        for rank in (16, 256)
    )
    assert not any("AdamW8bit" in hint for hint in small) and any("AdamW8bit" in hint for hint in large)


def test_a_ladder_that_is_used_up_says_what_remains() -> None:
    small = TrainConfig(
        base_model_path="nowhere", train_data_dir="d", resolution=512, lora_rank=16,
        lora_target_modules=["attention.qkv"], quantize_base="nf4", quantize_gemma="nf4", swap_blocks=36,
    )  # fmt: skip
    assert ladder_hints(small) == memory_hints(small)
