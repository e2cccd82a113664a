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


def test_what_cropping_and_enlarging_spoil_is_named_in_one_sentence_each(tmp_path: Path):
    for number in range(7):
        Image.new("RGB", (900, 90)).save(tmp_path / f"long {number}.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "tiny.png")
    Image.new("RGB", (256, 256)).save(tmp_path / "fitting.png")
    values = {"base_model_path": "x", "train_data_dir": str(tmp_path), "resolution": 256, "bucket_upscale": True}
    assert read_facts(parse_config(values)).notes == (
        "7 of 9 images lose more than half of their area to cropping: long 0.png, long 1.png, long 2.png, long 3.png, "
        "long 4.png and 2 more.",
        "1 of 9 images are enlarged more than 4 times: tiny.png.",
    )
    for file in tmp_path.glob("[lt]*.png"):
        file.unlink()
    assert read_facts(parse_config(values)).notes == ()
