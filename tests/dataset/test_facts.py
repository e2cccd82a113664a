"""A data set as the forecast sees it."""

from pathlib import Path

from PIL import Image

from trainer_core.contracts.config import parse_config
from trainer_core.dataset.facts import read_facts


def test_repeats_count_as_shown_and_captions_once(tmp_path: Path):
    folder = tmp_path / "3_hero"
    folder.mkdir()
    for number, size in enumerate([(256, 256), (256, 256), (512, 128)]):
        Image.new("RGB", size).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text("1girl, solo", encoding="utf-8")
    facts = read_facts(parse_config({"base_model_path": "x", "train_data_dir": str(tmp_path), "resolution": 256}))
    assert [(bucket.images, bucket.shown) for bucket in facts.buckets] == [(2, 6), (1, 3)]
    assert facts.images == 3 and facts.captions == 1
    assert facts.longest_tokens == facts.mean_tokens > 4
