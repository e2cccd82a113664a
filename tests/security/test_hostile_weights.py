"""Weight files made to hurt: no program in them is run, and each is refused in words, soon and in little memory."""

import pickle
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from hostile_weights import (
    SOUND,
    Payload,
    fields,
    file_of,
    headers,
    lengths,
    names,
    pickles,
    with_metadata,
)

from newbie_gui.translate import hints, say
from trainer_core.contracts.errors import UserError
from trainer_core.model.folder import load_transformer
from trainer_core.model.lora_files import read_lora
from trainer_core.model.pickles import load_pickle
from trainer_core.model.weights import open_tensors
from trainer_core.planning.headers import HeaderProblem, read_config, read_header
from trainer_core.planning.lora_facts import MAX_METADATA_CHARACTERS, lora_facts
from trainer_core.tools.job_spec import Spec
from trainer_core.tools.lora_stack import load_adapters

CASES = [*lengths(), *headers(), *fields(), *names()]
SECONDS = 20


def in_words(error: UserError) -> None:
    assert error.code.isidentifier() and len(str(error)) < 5000
    assert all(say(error, lang).strip() for lang in ("en", "zh")) and hints(error, "zh") is not None


def refused(read: Callable[[Path], object], path: Path) -> None:
    with pytest.raises((UserError, HeaderProblem)) as caught:
        read(path)
    if isinstance(caught.value, UserError):
        in_words(caught.value)


def open_and_read(path: Path) -> None:
    """What loading a part does, without knowing what it should hold."""
    with open_tensors(path) as source:
        for name in source.names()[:100]:
            source.shape(name), source.dtype(name), source.read(name)


@pytest.mark.parametrize(("name", "data"), CASES, ids=[name for name, _ in CASES])
def test_a_hostile_file_is_no_lora_for_the_page_and_none_for_the_merge(tmp_path: Path, name: str, data: bytes, right):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    started = time.process_time()
    refused(read_lora, path)
    try:
        # The page looks at the header alone: numbers that are none, and overlaps, show when the weights are read.
        assert lora_facts(path).bytes == len(data) and ("weights of" in name or "offsets" in name)
    except UserError as error:
        in_words(error)
    # The header of a hundred thousand names was read twice; the third way takes as long.
    if len(data) <= 5_000_000:
        with suppress(UserError, HeaderProblem):
            open_and_read(path)
            read_header(path)
        assert time.process_time() - started < SECONDS
    right.add()


@pytest.mark.parametrize("data", [data for _, data in CASES[::4]], ids=[name for name, _ in CASES[::4]])
def test_a_hostile_file_is_no_transformer(tmp_path: Path, data: bytes, right):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    refused(lambda file: load_transformer(file, dtype=torch.bfloat16), path)
    right.add()


def test_a_sound_lora_is_one_so_that_the_refusals_mean_something(tmp_path: Path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(file_of(SOUND))
    assert lora_facts(path).rank == 2 and list(read_lora(path).modules) == ["layers.0.attention.qkv"]


def test_metadata_of_50_megabytes_is_refused_or_cut(tmp_path: Path, right):
    path = tmp_path / "x.safetensors"
    path.write_bytes(with_metadata(50 << 20))
    refused(lora_facts, path)
    path.write_bytes(with_metadata(5 << 20))
    facts = lora_facts(path)
    assert sum(len(key) + len(text) for key, text in facts.metadata.items()) <= MAX_METADATA_CHARACTERS + 10
    assert len(read_lora(path).modules) == 1
    right.add(2)


def test_28_a_pickle_runs_nothing_under_any_name(tmp_path: Path, right):
    mark = tmp_path / "run"
    for number, (_, data) in enumerate(pickles(mark)):
        for suffix in (".pt", ".pth", ".bin", ".ckpt", ".safetensors"):
            path = tmp_path / f"{number}{suffix}"
            path.write_bytes(data)
            for read in (load_pickle, read_lora, lora_facts, lambda file: load_transformer(file, dtype=torch.bfloat16)):
                if number == 7 and read is load_pickle:
                    continue  # An empty pickle with a program behind it: the first is read, the second never is.
                refused(read, path)
    assert not mark.exists()
    right.add(8 * 5)
    pickle.loads(pickle.dumps(Payload(mark)))  # noqa: S301 - what a careless reader would have done
    assert mark.exists(), "the payload is none, so nothing was shown"


def test_28_a_pickle_in_torchs_zip_runs_nothing(tmp_path: Path, right):
    mark, path = tmp_path / "run", tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("x/data.pkl", pickle.dumps({"weight": Payload(mark)}, protocol=2))
        made.writestr("x/version", "3\n")
        made.writestr("x/byteorder", "little")
    for read in (load_pickle, read_lora, lambda file: load_transformer(file, dtype=torch.bfloat16)):
        refused(read, path)
    assert not mark.exists()
    right.add()


@pytest.mark.parametrize("strength", [float("nan"), float("inf"), -1e9, "1", None, True, [1], 10**400])
def test_a_strength_that_is_none_is_refused_before_anything_is_read(tmp_path: Path, strength: object, right):
    spec = Spec({"loras": [{"path": str(tmp_path / "x.safetensors"), "strength": strength}]})
    with pytest.raises(UserError) as caught:
        load_adapters(spec.loras(), print, tmp_path)
    in_words(caught.value)
    assert caught.value.code in ("job_invalid", "strength_invalid")
    right.add()


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 50_000, "[]", "", "NaN", '{"patch_size": 1e400}', '{"dim": "x"}', "\ud800"]
)
def test_a_hostile_config_json_beside_the_weights_is_said(tmp_path: Path, text: str, right):
    (tmp_path / "config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    (tmp_path / "model.safetensors").write_bytes(file_of(SOUND))
    refused(lambda folder: load_transformer(folder, dtype=torch.bfloat16), tmp_path)
    try:
        read_config(tmp_path)
    except UserError as error:
        in_words(error)
    right.add()


def test_weights_figure(record_figure: Callable[[str, str], None], right):
    tried = len(CASES) + len(CASES[::4]) + 2 + 8 * 5 + 1 + 8 + 8
    assert len(CASES) > 80
    record_figure("hostile: weights", f"{right.count} / {tried}")
