"""A base of a few layers and a LoRA for it."""

from pathlib import Path

import pytest
from small_base import write_base, write_lora


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_base(tmp_path / "base")


@pytest.fixture
def lora(base: Path, tmp_path: Path) -> Path:
    return write_lora(base, tmp_path / "lora.safetensors", seed=1)
