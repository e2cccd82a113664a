"""Merging needs memory for a tensor or two, not for the model."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from peak_memory import growth
from safetensors.torch import save_file
from small_base import quiet

from trainer_core.model.folder import empty_transformer
from trainer_core.model.writing import Entry, write_tensors
from trainer_core.planning.shapes import Dimensions
from trainer_core.tools.merge import merge

# A whole transformer, a third as wide as the released one: in bf16 two shards of about 100 MiB.
WIDTH, LAYERS = 768, 8
CONFIG = {
    "patch_size": 2,
    "in_channels": 16,
    "dim": WIDTH,
    "n_layers": LAYERS,
    "n_refiner_layers": 1,
    "n_heads": 8,
    "n_kv_heads": 4,
    "axes_dims": [32, 32, 32],
    "axes_lens": [1024, 512, 512],
    "cap_feat_dim": 64,
    "clip_text_dim": 64,
    "qk_norm": True,
}


@pytest.fixture(scope="module")
def big_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("big") / "base"
    for part in ("transformer", "text_encoder", "clip_model", "vae"):
        (root / part).mkdir(parents=True)
    (root / "transformer" / "config.json").write_text(json.dumps(CONFIG))
    expected = {
        name: value.to(torch.bfloat16) for name, value in empty_transformer(Dimensions(**CONFIG)).state_dict().items()
    }
    names = sorted(expected)
    weight_map = {}
    for shard in (1, 2):
        file = f"diffusion_pytorch_model-0000{shard}-of-00002.safetensors"
        entries = [Entry(name=n, dtype=torch.bfloat16, shape=tuple(expected[n].shape)) for n in names[shard - 1 :: 2]]
        write_tensors(root / "transformer" / file, entries, lambda n: torch.randn(expected[n].shape).bfloat16())
        weight_map |= {entry.name: file for entry in entries}
    index = root / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return root


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("name", "dora"), [("merged", True), ("merged.safetensors", False)])
def test_memory_grows_by_less_than_the_largest_shard(
    big_base: Path, tmp_path: Path, name: str, dora: bool, record_figure: Callable[[str, float], None]
) -> None:
    tensors = {}
    for i in range(LAYERS):
        key = f"diffusion_model.layers.{i}.feed_forward.w2"
        down, up = torch.randn(4, 4 * WIDTH), torch.randn(WIDTH, 4)
        tensors |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        tensors |= {f"{key}.dora_scale": torch.ones(WIDTH, 1)} if dora else {}
    save_file(tensors, tmp_path / "lora.safetensors")
    shard = max(file.stat().st_size for file in big_base.glob("transformer/*.safetensors"))
    share = growth(merge, big_base, [(tmp_path / "lora.safetensors", 0.5)], tmp_path / name, quiet) / shard
    record_figure(f"merge memory growth / largest shard ({name}{', dora' if dora else ''})", share)
    assert 0.02 < share <= 1.3
