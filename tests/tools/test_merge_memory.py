"""Merging needs memory for a tensor or two, not for the model: measured from inside of a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from trainer_core.model.writing import Entry, write_tensors

ROOT = Path(__file__).parents[2]
WIDTH, TENSORS = 2304, 10  # bf16: two shards of 101 MiB
# By these a transformer is known as NewBie's.
MARKS = ("x_embedder.weight", "cap_embedder.0.weight", "clip_text_pooled_proj.0.weight")
CHILD = """
import json, sys, threading
from pathlib import Path
from trainer_core.tools.merge import merge

def anonymous():
    # Pages of mapped files are not counted: the system takes them back as it likes.
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))

base, lora, output = map(Path, sys.argv[1:])
start, peak, done = anonymous(), 0, threading.Event()

def watch():
    global peak
    while not done.wait(0.02):
        peak = max(peak, anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
merge(base, [(lora, 0.5)], output, lambda name, done, total: None)
done.set()
watcher.join()
print(json.dumps({"growth": peak - start}))
"""


@pytest.fixture(scope="module")
def big_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("big") / "base"
    for part in ("transformer", "text_encoder", "clip_model", "vae"):
        (root / part).mkdir(parents=True)
    value = torch.randn(WIDTH, WIDTH).bfloat16()
    weight_map = {}
    for shard in (1, 2):
        file = f"diffusion_pytorch_model-0000{shard}-of-00002.safetensors"
        tensors = {f"layers.{i}.attention.out.weight": value for i in range(shard, 2 * TENSORS + 1, 2)}
        tensors |= {name: value[0] for name in MARKS[shard - 1 :: 2]}
        entries = [Entry(name=name, dtype=v.dtype, shape=tuple(v.shape)) for name, v in tensors.items()]
        write_tensors(root / "transformer" / file, entries, tensors.__getitem__)
        weight_map |= dict.fromkeys(tensors, file)
    index = root / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": weight_map}))
    return root


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("name", "dora"), [("merged", True), ("merged.safetensors", False)])
def test_memory_grows_by_less_than_the_largest_shard(
    big_base: Path, tmp_path: Path, name: str, dora: bool, record_figure: Callable[[str, float], None]
) -> None:
    tensors = {}
    for i in range(1, 2 * TENSORS + 1):
        key = f"diffusion_model.layers.{i}.attention.out"
        tensors |= {f"{key}.lora_down.weight": torch.randn(4, WIDTH), f"{key}.lora_up.weight": torch.randn(WIDTH, 4)}
        tensors |= {f"{key}.dora_scale": torch.ones(WIDTH, 1)} if dora else {}
    save_file(tensors, tmp_path / "lora.safetensors")
    command = [sys.executable, "-c", CHILD, str(big_base), str(tmp_path / "lora.safetensors"), str(tmp_path / name)]
    # One thread: on a busy machine two wait for each other at every small piece.
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True
    )
    shard = max(file.stat().st_size for file in big_base.glob("transformer/*.safetensors"))
    share = json.loads(done.stdout)["growth"] / shard
    record_figure(f"merge memory growth / largest shard ({name}{', dora' if dora else ''})", share)
    assert 0.02 < share <= 1.3
