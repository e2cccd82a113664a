"""The feature store: what is found again, what is noticed as damaged, what is hashed only once."""

import json
import os
from pathlib import Path

import pytest
import torch

from trainer_core.cli import main
from trainer_core.contracts import feature_files, fsutil
from trainer_core.contracts.errors import UserError
from trainer_core.training import cache as cache_module
from trainer_core.training.cache import FeatureCache, HashIndex, key_of, part_id

TENSORS = {
    "bf16": torch.randn(3, 5).bfloat16(),
    "view": torch.randn(4, 6).T[:3],
    "count": torch.tensor(7),
    "bytes": torch.arange(9, dtype=torch.uint8),
}


@pytest.fixture
def cache(tmp_path: Path) -> FeatureCache:
    return FeatureCache(tmp_path / "cache")


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that were really read for their hash."""
    seen: list[Path] = []
    original = cache_module.sha256_file

    def counting(file: Path) -> str:
        seen.append(file)
        return original(file)

    monkeypatch.setattr(cache_module, "sha256_file", counting)
    return seen


def test_what_was_put_comes_back_bit_for_bit(cache: FeatureCache) -> None:
    key = key_of(text="a")
    assert cache.keys("gemma") == set()
    cache.put("gemma", key, TENSORS)
    assert cache.keys("gemma") == {key} and cache.keys("jina") == set()
    found = cache.get("gemma", key)
    assert found.keys() == TENSORS.keys()
    assert all(torch.equal(found[name], value) and found[name].dtype == value.dtype for name, value in TENSORS.items())


def test_the_same_value_is_the_same_file(cache: FeatureCache) -> None:
    contents = []
    for key in (key_of(n=1), key_of(n=2)):
        cache.put("latents", key, TENSORS)
        contents.append(cache.file("latents", key).read_bytes())
    assert contents[0] == contents[1]


def test_every_part_of_a_key_counts_and_its_order_does_not() -> None:
    base = {"text": "ü", "limit": 512, "dtype": "torch.float32"}
    assert key_of(**base) == key_of(**dict(reversed(base.items())))
    others = [key_of(**{**base, name: value}) for name, value in (("text", "u"), ("limit", 256), ("dtype", "x"))]
    assert len({key_of(**base), *others}) == 4


def test_verify_finds_and_removes_a_flipped_byte_and_a_cut(cache: FeatureCache) -> None:
    files = []
    for number in range(3):
        cache.put("latents", key_of(n=number), TENSORS)
        files.append(cache.file("latents", key_of(n=number)))
    assert cache.verify() == []
    data = bytearray(files[0].read_bytes())
    data[-1] ^= 1
    files[0].write_bytes(data)
    files[1].write_bytes(files[1].read_bytes()[:-5])
    assert cache.verify() == sorted(files[:2])
    assert list(feature_files.entries(cache.root)) == files[2:]


@pytest.mark.parametrize("action", ["--verify", "--clear"])
def test_a_folder_that_is_no_cache_is_refused_untouched(
    tmp_path: Path, action: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("loras/xl/a.safetensors", "latents/ab/mine.safetensors", "gemma/notes.txt", "index.json", ".a.1.tmp")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text('{"mine": 1}')
        os.utime(tmp_path / name, (0, 0))
    assert main(["cache", str(tmp_path), action]) == 1
    assert "is no feature cache" in capsys.readouterr().err
    assert all((tmp_path / name).is_file() for name in names)


def test_what_another_program_put_into_a_cache_stays(cache: FeatureCache) -> None:
    key = key_of(n=1)
    cache.put("latents", key, TENSORS)
    others = [
        cache.root / "loras/xl" / f"{key}.safetensors", cache.file("latents", key).with_name("mine.safetensors"),
        cache.root / "index.json",
    ]  # fmt: skip
    for file in others:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"mine")
    cache.index.hash_of(others[0])
    cache.index.save()
    assert cache.verify() == [] and feature_files.clear(cache.root)[0] == 1
    assert [path for path in sorted(cache.root.rglob("*")) if path.is_file()] == sorted(others)
    assert {file.read_bytes() for file in others} == {b"mine"}


def test_a_cut_entry_is_an_error_that_says_what_to_do(cache: FeatureCache) -> None:
    cache.put("jina", key_of(n=1), TENSORS)
    file = cache.file("jina", key_of(n=1))
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UserError, match="cannot be read") as caught:
        cache.get("jina", key_of(n=1))
    assert caught.value.code == "cache_damaged"
    assert f"cache --verify {cache.root}`" in caught.value.hints[0]


def test_a_failing_write_leaves_nothing_behind(cache: FeatureCache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(fsutil, "replace", full)
    with pytest.raises(UserError, match=r"at least 0\.00 MiB more are needed"):
        cache.put("jina", key_of(n=1), TENSORS)
    assert [path for path in cache.root.rglob("*") if path.is_file()] == []


def test_clear_removes_entries_and_index_and_nothing_else(cache: FeatureCache) -> None:
    cache.put("gemma", key_of(n=1), TENSORS)
    cache.index.hash_of(cache.file("gemma", key_of(n=1)))
    cache.index.save()
    (cache.root / "mine.txt").write_text("kept")
    count, size = feature_files.clear(cache.root)
    assert count == 1 and size > 100
    assert [path.name for path in cache.root.iterdir()] == ["mine.txt"]


def test_an_unchanged_file_is_hashed_once_over_two_starts(tmp_path: Path, hashed: list[Path]) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    first = HashIndex(tmp_path / "index.json")
    digest = first.hash_of(file)
    assert first.hash_of(file) == digest
    first.save()
    assert HashIndex(tmp_path / "index.json").hash_of(file) == digest
    assert hashed == [file]


@pytest.mark.parametrize("change", ["content", "time"])
def test_a_changed_file_is_hashed_again(tmp_path: Path, hashed: list[Path], change: str) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    index = HashIndex(tmp_path / "index.json")
    before = index.hash_of(file)
    file.write_bytes(b"three" if change == "content" else b"two")
    os.utime(file, ns=(1, 1))
    assert index.hash_of(file) != before
    assert len(hashed) == 2


def test_files_of_one_size_and_time_that_change_names_are_not_taken_for_each_other(tmp_path: Path) -> None:
    one, two = tmp_path / "1.bmp", tmp_path / "2.bmp"
    for file in (one, two):
        file.write_bytes(file.name.encode())
        os.utime(file, ns=(1, 1))
    index = HashIndex(tmp_path / "index.json")
    before = [index.hash_of(file) for file in (one, two)]
    one.rename(tmp_path / "kept")
    two.rename(one)
    (tmp_path / "kept").rename(two)
    assert [index.hash_of(file) for file in (two, one)] == before


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"FILE": 5}', '{"FILE": [3]}', '{"FILE": null}', "\x80"])
def test_a_damaged_index_costs_only_time(tmp_path: Path, hashed: list[Path], content: str) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(b"one")
    text = content.replace('"FILE"', json.dumps(str(file)))
    (tmp_path / "index.json").write_bytes(text.encode("latin-1"))
    index = HashIndex(tmp_path / "index.json")
    index.hash_of(file)
    index.save()
    assert hashed == [file]
    assert HashIndex(tmp_path / "index.json").hash_of(file) and len(hashed) == 1


def test_a_model_folder_is_known_by_its_content(tmp_path: Path) -> None:
    folder = tmp_path / "vae"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    index = HashIndex(tmp_path / "index.json")
    before = part_id(folder, index)
    (folder / "readme.md").write_text("does not count")
    assert part_id(folder, index) == before
    (folder / "config.json").write_text('{"shift_factor": 0.1}')
    assert part_id(folder, index) != before
