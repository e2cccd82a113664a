from pathlib import Path

import pytest
from layout_makers import TINY, gemma_file

from trainer_core.model.identity import identity_files


@pytest.mark.parametrize("part", ["transformer", "text_encoder", "clip_model", "vae"])
def test_an_official_part_is_its_weights_and_json_files(part: str) -> None:
    """The same list as the feature cache has used all along, so that existing caches stay valid."""
    files = [file for file in (TINY / part).iterdir() if file.suffix in (".safetensors", ".json", ".model")]
    assert identity_files(TINY / part) == sorted((file.name, file) for file in files)


def test_a_single_file_has_its_tokenizer_and_config(tmp_path: Path) -> None:
    file = gemma_file(tmp_path / "gemma.safetensors", tokenizer=True)
    (tmp_path / "other.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text("{}")
    names = [name for name, _ in identity_files(file)]
    folder = "gemma.safetensors.tokenizer"
    assert names == ["config.json", "gemma.safetensors", f"{folder}/tokenizer.json", f"{folder}/tokenizer_config.json"]


def test_a_tokenizer_in_a_folder_of_its_own_counts(tmp_path: Path) -> None:
    for name in ("text_encoder_2/model.safetensors", "tokenizer_2/tokenizer.json", "tokenizer/tokenizer.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [name for name, _ in identity_files(tmp_path / "text_encoder_2")] == [
        "model.safetensors",
        "tokenizer_2/tokenizer.json",
    ]


def test_a_training_dump_is_its_weights_without_the_optimizer(tmp_path: Path) -> None:
    for name in ("consolidated.00-of-01.pth", "optimizer.00000-of-00008.pth", "model_args.pth", "resume_step.txt"):
        (tmp_path / name).write_bytes(b"")
    assert [name for name, _ in identity_files(tmp_path)] == ["consolidated.00-of-01.pth"]
