"""Reading LoKrs: the upstream trainer's, and why PEFT's own is refused."""

from pathlib import Path

import pytest
import torch
from lora_makers import QKV, peft, refused, single
from torch import Tensor

from trainer_core.model.lora_files import read_lora

LYCORIS = "lycoris_layers_0_attention_qkv"
W1, W2, W2_A, W2_B = torch.randn(2, 2), torch.randn(4, 3), torch.randn(4, 2), torch.randn(2, 3)
LOKR = {f"{LYCORIS}.lokr_w1": W1, f"{LYCORIS}.lokr_w2": W2, f"{LYCORIS}.alpha": torch.tensor(114514.0)}
LOW = {f"{LYCORIS}.lokr_w1": W1, f"{LYCORIS}.lokr_w2_a": W2_A, f"{LYCORIS}.lokr_w2_b": W2_B}


@pytest.mark.parametrize(("tensors", "wanted"), [
    (LOKR, torch.kron(W1, W2)),
    (LOW, torch.kron(W1, W2_A @ W2_B)),
    ({**LOW, f"{LYCORIS}.alpha": torch.tensor(0.5)}, torch.kron(W1, W2_A @ W2_B) / 4),
])  # fmt: skip
def test_the_upstream_trainers_lokr_is_read(tmp_path: Path, tensors: dict[str, Tensor], wanted: Tensor) -> None:
    """Its folder says LYCORIS, and its metadata a scale that LyCORIS does not apply."""
    folder = peft(tmp_path / "peft", tensors, peft_type="LYCORIS")
    metadata = {"adapter_type": "lyco_lokr", "lora_rank": "114514", "lora_alpha": "1"} if tensors is LOKR else {}
    single(tmp_path, tensors, metadata)
    for path in (folder, tmp_path / "x.safetensors"):
        lora = read_lora(path)
        torch.testing.assert_close(lora.modules[QKV].delta(), wanted)
        assert lora.is_lokr and not lora.halves
        assert bool(lora.notes) == (f"{LYCORIS}.alpha" not in tensors)


def test_pefts_own_lokr_is_refused(tmp_path: Path) -> None:
    """It is scaled by the json's alpha."""
    named = {name.replace(LYCORIS, f"base_model.model.{QKV}"): value for name, value in LOKR.items()}
    refused(peft(tmp_path / "peft", named, peft_type="LOKR", alpha=2), "of type LOKR")
