"""Which features are made, and again."""

from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import torch

from trainer_core.contracts.config import TrainConfig
from trainer_core.dataset.scan import ImageItem
from trainer_core.model.folder import find_base
from trainer_core.model.vae import load_vae
from trainer_core.planning.demo import TINY_BASE
from trainer_core.training import features
from trainer_core.training.cache import MemoryCache, key_of
from trainer_core.training.features import FeatureStore, fixed_batches, with_gaps

CPU: dict[str, Any] = {"dtype": torch.float32, "device": "cpu"}


def quiet(phase: str, done: int, total: int) -> None:
    """Hears nothing."""


def test_a_batch_with_a_gap_is_redone_whole_and_batches_never_shift() -> None:
    done = {"a", "b", "c", "e"}
    assert with_gaps(fixed_batches("abcdefg", 3), done.__contains__) == [["d", "e", "f"], ["g"]]


def test_one_at_a_time_only_the_missing_is_made() -> None:
    assert with_gaps(fixed_batches("abc", 1), {"b"}.__contains__) == [["a"], ["c"]]


def test_before_ampere_latents_are_made_in_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    # Which it says of emulation too.
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    config = TrainConfig(base_model_path=str(TINY_BASE), train_data_dir="d")
    card, cpu = (
        FeatureStore(config, find_base(TINY_BASE), MemoryCache(), torch.device(kind)) for kind in ("cuda", "cpu")
    )
    assert card.latents_key("hash", (64, 64)) == cpu.latents_key("hash", (64, 64))
    assert card.gemma_key("text") != cpu.gemma_key("text")
    loaded: list[torch.dtype] = []
    monkeypatch.setattr(features, "load_vae", lambda path, **how: loaded.append(how["dtype"]) or load_vae(path, **CPU))
    assert card._make_latents([], quiet) == [] and loaded == [torch.float32]


def test_only_latents_of_converted_colours_have_a_new_key(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"pixels")
    config = TrainConfig(base_model_path=str(TINY_BASE), train_data_dir=str(tmp_path))
    store = FeatureStore(config, find_base(TINY_BASE), MemoryCache(), torch.device("cpu"))
    plain = ImageItem(path=path, relative=PurePosixPath("a.png"), caption="", repeats=1, width=64, height=64)
    (old, new), _ = store.plan([plain, replace(plain, converted=True)], vary=False)
    # What caches hold from before profiles were followed.
    vae, crop = store.encoding.vae, "cover-centre-lanczos"
    assert old.latents == key_of(vae=vae, dtype="torch.float32", image=old.image_hash, bucket=old.bucket, crop=crop)
    assert new.latents != old.latents and new.texts == old.texts
