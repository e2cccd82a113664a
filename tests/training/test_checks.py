"""What is carried out differently on a CPU, and that it is said."""

from dataclasses import replace

import torch

from trainer_core.contracts.config import TrainConfig
from trainer_core.training.checks import adapted

CPU = torch.device("cpu")
CONFIG = TrainConfig(base_model_path="b", train_data_dir="d", optimizer_type="AdamW")


def test_8_bit_adam_becomes_adam_on_a_cpu() -> None:
    found, notes = adapted(replace(CONFIG, optimizer_type="AdamW8bit"), CPU)
    assert found.optimizer_type == "AdamW" and "AdamW8bit needs an NVIDIA GPU" in notes[0]


def test_flash_attention_falls_back_in_words() -> None:
    found, notes = adapted(replace(CONFIG, use_flash_attention_2=True), CPU)
    assert found.attention_backend == "sdpa" and "flash-attn needs an NVIDIA GPU" in notes[0]


def test_nothing_else_changes() -> None:
    assert adapted(CONFIG, CPU) == (CONFIG, [])
