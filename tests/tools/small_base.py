"""A base folder with a random transformer of a few thousand weights, and LoRAs for it, ours and PEFT's own."""

import json
from pathlib import Path
from typing import Any

import peft
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer_core.model.folder import load_transformer
from trainer_core.model.nextdit import NextDiT
from trainer_core.planning.adapter import LoraShape
from trainer_core.training.adapters import add_adapter

CONFIG = {
    "patch_size": 2,
    "in_channels": 4,
    "dim": 24,
    "n_layers": 2,
    "n_heads": 2,
    "n_kv_heads": 1,
    "axes_dims": [4, 4, 4],
    "axes_lens": [32, 16, 16],
}
TARGETS = ["attention.qkv", "feed_forward.w2", "time_text_embed.1"]
WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def quiet(phase: str, done: int, total: int) -> None:
    assert 0 <= done < total, phase


def write_base(root: Path) -> Path:
    """The transformer is real; the other parts hold one file each."""
    torch.manual_seed(0)
    model = NextDiT(**CONFIG, cap_feat_dim=12, clip_text_dim=10, qk_norm=True, n_refiner_layers=1)
    tensors = {name: torch.randn(value.shape) * 0.2 for name, value in model.state_dict().items()}
    for part in ("transformer", "text_encoder", "clip_model", "vae"):
        (root / part).mkdir(parents=True)
        (root / part / "config.json").write_text(json.dumps({**CONFIG, "n_refiner_layers": 1}))
    (root / "vae" / "model.safetensors").write_bytes(b"vae weights")
    (root / "model_index.json").write_text("{}")
    save_file(tensors, root / WEIGHTS)
    return root


def write_lora(base: Path, file: Path, *, seed: int, targets: list[str] = TARGETS, alpha: float = 3.0) -> Path:
    model = load_transformer(base / "transformer", dtype=torch.float32)
    parameters = add_adapter(model, LoraShape(rank=2), targets=targets, alpha=alpha, dropout=0.0, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    tensors: dict[str, Tensor] = {}
    for name in parameters:
        module_name, side = name.rsplit(".", 1)
        half = "lora_down" if side == "lora_A" else "lora_up"
        shape = parameters[name].shape
        tensors[f"diffusion_model.{module_name}.{half}.weight"] = torch.randn(shape, generator=generator) * 0.3
        tensors[f"diffusion_model.{module_name}.alpha"] = torch.tensor(alpha)
    save_file(tensors, file)
    return file


def write_lokr(base: Path, file: Path) -> dict[str, Tensor]:
    """A random LoKr with whole factors under the upstream trainer's names; returns what it adds, by module."""
    weights, generator = load_file(base / WEIGHTS), torch.Generator().manual_seed(3)
    tensors: dict[str, Tensor] = {}
    added: dict[str, Tensor] = {}
    for module in ("layers.0.attention.qkv", "layers.1.feed_forward.w2"):
        rows, columns = weights[f"{module}.weight"].shape
        w1, w2 = (torch.randn(shape, generator=generator) for shape in ((4, 4), (rows // 4, columns // 4)))
        key = f"lycoris_{module.replace('.', '_')}"
        tensors |= {f"{key}.lokr_w1": w1, f"{key}.lokr_w2": w2, f"{key}.alpha": torch.tensor(114514.0)}
        added[module] = torch.kron(w1, w2)
    save_file(tensors, file, {"adapter_type": "lyco_lokr", "lora_rank": "114514", "lora_alpha": "1"})
    return added


def write_peft(base: Path, folder: Path, **options: Any) -> dict[str, Tensor]:
    """A random adapter as PEFT itself saves it; returns PEFT's own merged weights."""
    model = load_transformer(base / "transformer", dtype=torch.float32)
    settings = {"r": 4, "lora_alpha": 6, "target_modules": TARGETS} | options
    adapted = peft.get_peft_model(model, peft.LoraConfig(**settings))
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if ".lora_A." in name or ".lora_B." in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
            elif "magnitude" in name:
                parameter.mul_(torch.rand(parameter.shape, generator=generator) + 0.5)
    adapted.save_pretrained(str(folder))
    return dict(adapted.merge_and_unload().state_dict())


def transformer(folder: Path) -> dict[str, Tensor]:
    """All tensors of a model folder's transformer."""
    return {name: value for file in folder.glob("transformer/*.safetensors") for name, value in load_file(file).items()}


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}
