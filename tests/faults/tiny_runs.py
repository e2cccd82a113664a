"""Pictures and settings for runs of seconds."""

from pathlib import Path
from typing import Any

from trainer_core.contracts.config import TrainConfig
from trainer_core.planning.demo import TINY_BASE
from trainer_core.tools.tiny.world import all_portraits, draw, tag_caption


def fill(folder: Path, count: int = 4) -> Path:
    """Pictures with captions; one has another shape."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, portrait in enumerate(all_portraits()[100 : 100 + 1600 * count : 1600]):
        image = draw(portrait, number)
        if number == 1:
            image = image.resize((96, 48))
        image.save(folder / f"絵 {number}.png")
        (folder / f"絵 {number}.txt").write_text(tag_caption(portrait), encoding="utf-8")
    return folder


def settings(data: Path, output: Path, name: str, **changed: Any) -> TrainConfig:
    """Eight steps in two epochs, a checkpoint and an export every second one."""
    values: dict[str, Any] = {
        "base_model_path": str(TINY_BASE),
        "train_data_dir": str(data),
        "output_dir": str(output),
        "output_name": name,
        "resolution": 64,
        "num_epochs": 2,
        "save_every_n_steps": 2,
        "learning_rate": 1e-3,
        "lr_warmup_steps": 2,
        "optimizer_type": "AdamW",
        "mixed_precision": "no",
        "device": "cpu",
        "lora_rank": 4,
        "lora_alpha": 4.0,
        "lora_dropout": 0.1,
        "caption_dropout_rate": 0.3,
        "shuffle_caption": True,
        "caption_variants": 2,
    }
    return TrainConfig(**(values | changed))
