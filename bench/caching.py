"""How soon a second start on an unchanged data set trains: python -m bench.caching [--images N]; prints one JSON line.

Real pictures and captions are made, with features of the sizes that the built-in base has; what is timed is all that a
start does with them before the first step: reading the folder, sizes, captions, keys, and the look for each feature.
"""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bench.machine import machine
from trainer_core.contracts.config import TrainConfig, parse_config
from trainer_core.contracts.rundir import RunDir
from trainer_core.dataset.scan import scan_dataset
from trainer_core.planning.demo import TINY_BASE
from trainer_core.training.cache import FeatureCache
from trainer_core.training.checks import base_of
from trainer_core.training.distributed import World
from trainer_core.training.features import FeatureStore, Sample
from trainer_core.training.preparation import Preparation, PreparedData
from trainer_core.training.stopping import StopSignal

WORDS = ("1girl", "solo", "smile", "hat", "long hair", "outdoors", "sky", "tree", "dress", "night", "sword", "cat")


def make_pictures(
    folder: Path, count: int, *, sizes: Sequence[tuple[int, int]] = ((64, 64), (64, 96), (96, 64))
) -> None:
    """PNG pictures of these sizes, each with a caption of its own."""
    rng = random.Random(0)
    noise = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for number in range(count):
        width, height = rng.choice(sizes)
        Image.fromarray(noise.integers(0, 255, (height, width, 3), dtype=np.uint8)).save(
            folder / f"{number:06d}.png", compress_level=1
        )
        caption = ", ".join([f"picture {number}", *rng.sample(WORDS, 6)])
        (folder / f"{number:06d}.txt").write_text(caption, encoding="utf-8")


def make_features(store: FeatureStore, cache: FeatureCache, samples: Sequence[Sample]) -> None:
    """Entries of zeros, as large as the built-in base's, in the place of what an encoder would give."""
    for sample in samples:
        width, height = sample.bucket
        cache.put("latents", sample.latents, {"latents": torch.zeros(16, height // 8, width // 8)})
        for gemma, jina in sample.texts:
            cache.put("gemma", gemma, {"cap_feats": torch.zeros(40, 128)})
            cache.put("jina", jina, {"pooled": torch.zeros(128)})
    cache.put("gemma", store.gemma_key(""), {"cap_feats": torch.zeros(1, 128)})
    cache.put("jina", store.jina_key(""), {"pooled": torch.zeros(128)})


def config_of(folder: Path, **changed: Any) -> TrainConfig:
    """Settings for the pictures in ``folder``, for the built-in base on the CPU."""
    return parse_config(
        {
            "base_model_path": str(TINY_BASE), "train_data_dir": str(folder / "pictures"), "device": "cpu",
            "mixed_precision": "no", "output_dir": str(folder / "output"), "cache_dir": str(folder / "cache"),
            "resolution": 64, "min_bucket_reso": 64, "max_bucket_reso": 128, "shuffle_caption": False,
            "sample_prompts": [], **changed,
        }
    )  # fmt: skip


def prepare(config: TrainConfig) -> tuple[PreparedData, float]:
    """Everything up to the schedule, and the seconds that it took."""
    world = World(mixed_precision="no", cpu=True)
    asked: list[str] = []
    run = RunDir.of(config)
    with StopSignal(run, main=True) as stop:
        work = Preparation(
            config, base_of(config), world, stop=stop, report=lambda what, *_: asked.append(what), warn=asked.append
        )
        started = time.perf_counter()
        prepared = work.go()
        seconds = time.perf_counter() - started
    assert not asked, asked
    return prepared, seconds


def measure(images: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        make_pictures(folder / "pictures", images)
        config = config_of(folder)
        world, cache = World(mixed_precision="no", cpu=True), FeatureCache(Path(config.cache_dir))
        store = FeatureStore(config, base_of(config), cache, world.accelerator.device)
        samples, _ = store.plan(scan_dataset(Path(config.train_data_dir), strict=False).items, vary=False)
        make_features(store, cache, samples)
        times = sorted(prepare(config)[1] for _ in range(3))
    return {"images": images, "second_start_s": times[1], "range_s": [times[0], times[-1]], "machine": machine()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.caching", description=__doc__)
    parser.add_argument("--images", type=int, default=10_000)
    options = parser.parse_args(arguments)
    if options.images < 1:
        parser.error("--images must be at least 1")
    print(json.dumps(measure(options.images)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
