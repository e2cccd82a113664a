"""A LoRA of one module in the forms that people have, and the proof that a file is refused."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.model.lora_files import read_lora

QKV = "layers.0.attention.qkv"
DOWN, UP = torch.randn(2, 6), torch.randn(8, 2)
MAGNITUDE = torch.rand(8) + 1


def pair(prefix: str = "diffusion_model.", module: str = QKV, down: str = "lora_down", up: str = "lora_up"):
    return {f"{prefix}{module}.{down}.weight": DOWN, f"{prefix}{module}.{up}.weight": UP}


def single(folder: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, folder / "x.safetensors", metadata)
    return folder / "x.safetensors"


def peft(folder: Path, tensors: dict[str, Tensor] | None = None, **settings: object) -> Path:
    folder.mkdir(parents=True)
    save_file(tensors or pair("base_model.model.", down="lora_A", up="lora_B"), folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    return folder


def refused(path: Path, *words: str, code: str = "lora_unreadable") -> None:
    with pytest.raises(UserError) as caught:
        read_lora(path)
    assert caught.value.code == code and str(path.name) in str(caught.value)
    assert [word for word in words if word not in str(caught.value)] == []
