import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from trainer_core.contracts.errors import UserError
from trainer_core.model.weights import load_strict, open_tensors

STORED = {"0.weight": torch.arange(6.0).reshape(2, 3), "0.bias": torch.tensor([1.0, 2.0])}


def meta_module() -> nn.Module:
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(3, 2))


def load(path: Path, **options: object) -> nn.Module:
    module = meta_module()
    with open_tensors(path) as source:
        load_strict(module, source, what="toy", **options)  # type: ignore[arg-type]
    return module


def save_shards(folder: Path, *, index: bool) -> list[Path]:
    files = [folder / f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for file, name in zip(files, STORED, strict=True):
        save_file({name: STORED[name]}, file)
    if index:
        weight_map = {name: file.name for file, name in zip(files, STORED, strict=True)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return files


def test_single_file_gives_the_stored_values_frozen(tmp_path: Path) -> None:
    save_file(STORED, tmp_path / "model.safetensors")
    module = load(tmp_path)
    assert all(torch.equal(module.state_dict()[name], value) for name, value in STORED.items())
    assert not any(parameter.requires_grad for parameter in module.parameters())
    assert torch.equal(load(tmp_path / "model.safetensors")[0].weight, STORED["0.weight"])


@pytest.mark.parametrize("index", [True, False])
def test_shards_are_one_model(tmp_path: Path, index: bool) -> None:
    save_shards(tmp_path, index=index)
    assert torch.equal(load(tmp_path).state_dict()["0.bias"], STORED["0.bias"])


@pytest.mark.parametrize("index", [True, False])
def test_an_absent_shard_is_named(tmp_path: Path, index: bool) -> None:
    save_shards(tmp_path, index=index)[1].unlink()
    with pytest.raises(UserError, match="model-00002-of-00002") as caught:
        load(tmp_path)
    assert caught.value.code == "weights_missing"


def test_the_plain_file_wins_over_shards(tmp_path: Path) -> None:
    save_shards(tmp_path, index=True)
    save_file({**STORED, "0.bias": torch.tensor([7.0, 7.0])}, tmp_path / "model.safetensors")
    assert load(tmp_path).state_dict()["0.bias"].tolist() == [7.0, 7.0]


def test_loaded_tensors_do_not_follow_the_file(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(STORED, file)
    module = load(tmp_path)
    with file.open("r+b") as handle:
        handle.seek(file.stat().st_size - 24)
        handle.write(b"\xff" * 24)
    assert torch.equal(module.state_dict()["0.weight"], STORED["0.weight"])


def test_dtype_applies_to_floats_only(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2), "count": torch.tensor(3)}, tmp_path / "model.safetensors")
    module = nn.Module()
    module.weight = nn.Parameter(torch.empty(2, device="meta"))
    module.register_buffer("count", torch.empty((), dtype=torch.int64, device="meta"))
    with open_tensors(tmp_path) as source:
        load_strict(module, source, what="toy", dtype=torch.bfloat16)
    assert (module.weight.dtype, module.count.dtype, int(module.count)) == (torch.bfloat16, torch.int64, 3)


def test_rename_by_function_and_by_mapping(tmp_path: Path) -> None:
    save_file(
        {"0.weight": STORED["0.weight"], "b": STORED["0.bias"], "junk": torch.ones(1)},
        tmp_path / "a.safetensors",
    )
    mapping = {"b": "0.bias", "junk": None}
    for rename in (mapping, lambda name: mapping.get(name, name)):
        assert torch.equal(load(tmp_path, rename=rename).state_dict()["0.bias"], STORED["0.bias"])


@pytest.mark.parametrize(
    ("stored", "said", "cause"),
    [
        ({"0.weight": torch.ones(2, 3)}, "1 missing: 0.bias", "incomplete"),
        ({**STORED, "1.weight": torch.ones(1)}, "1 unexpected: 1.weight", "variant"),
        ({**STORED, "0.bias": torch.ones(5)}, r"0.bias \[5\] instead of \[2\]", "another size"),
        ({f"net.{name}": value for name, value in STORED.items()}, "2 missing", "prefix, 'net.'"),
        ({"conv": torch.ones(1)}, "2 missing: 0.weight, 0.bias. 1 unexpected", "wrong folder"),
    ],
)
def test_mismatch_names_tensors_and_cause(tmp_path: Path, stored: dict, said: str, cause: str) -> None:
    save_file(stored, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=said) as caught:
        load(tmp_path)
    assert caught.value.code == "weights_mismatch"
    assert cause in caught.value.hints[0]


def test_a_long_mismatch_is_cut_at_eight_names(tmp_path: Path) -> None:
    extra = {f"x{i:02d}": torch.ones(1) for i in range(11)}
    save_file({**STORED, **extra}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="x07 and 3 more") as caught:
        load(tmp_path)
    assert "x08" not in str(caught.value)


def test_a_buffer_nobody_rebuilds_is_caught(tmp_path: Path) -> None:
    save_file(STORED, tmp_path / "model.safetensors")
    module = meta_module()
    module.register_buffer("table", torch.empty(2, device="meta"), persistent=False)
    with open_tensors(tmp_path) as source, pytest.raises(AssertionError, match="table"):
        load_strict(module, source, what="toy")


def test_unreadable_pickled_and_doubled_files_are_explained(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError) as nothing:
        open_tensors(tmp_path)
    assert "pytorch_model.bin" in nothing.value.hints[1]
    (tmp_path / "a.safetensors").write_bytes(b"not a safetensors file")
    with pytest.raises(UserError, match=r"a\.safetensors") as broken:
        open_tensors(tmp_path)
    for name in ("a", "b"):
        save_file(STORED, tmp_path / f"{name}.safetensors")
    with pytest.raises(UserError) as doubled:
        open_tensors(tmp_path)
    assert [e.value.code for e in (nothing, broken, doubled)] == [
        "weights_missing",
        "weights_broken",
        "weights_ambiguous",
    ]


MEASURE = """
import re, sys, torch
from pathlib import Path
from torch import nn
from trainer_core.model.weights import load_strict, open_tensors

def anonymous():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024

class Watched:
    def __init__(self, files): self.files, self.peak = files, 0
    def __getattr__(self, name): return getattr(self.files, name)
    def read(self, name):
        self.peak = max(self.peak, anonymous())
        return self.files.read(name)

with torch.device("meta"):
    module = nn.Sequential(*[nn.Linear(2048, 2048, bias=False, dtype=torch.bfloat16) for _ in range(25)])
torch.ones(8).to(torch.bfloat16)
with open_tensors(Path(sys.argv[1])) as files:
    before, source = anonymous(), Watched(files)
    load_strict(module, source, what="toy", dtype=torch.bfloat16)
    print(max(source.peak, anonymous()) - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="anonymous memory is read from Linux's /proc")
def test_loading_grows_anonymous_memory_by_the_file_and_little_more(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file({f"{i}.weight": torch.full((2048, 2048), i, dtype=torch.bfloat16) for i in range(25)}, file)
    root = Path(__file__).parents[2]
    output = subprocess.run([sys.executable, "-c", MEASURE, str(file)], cwd=root, capture_output=True, text=True)
    assert output.returncode == 0, output.stderr
    growth = int(output.stdout) / file.stat().st_size
    assert 0.9 < growth <= 1.15, f"anonymous memory grew by {growth:.2f} x the file"
