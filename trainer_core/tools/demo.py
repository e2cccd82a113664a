"""`demo`: the main job on the built-in base. Sixteen drawings of a character the base has never seen, a LoRA
trained on them by the ordinary trainer, pictures before and after read by the probes, and a merged model."""

import shutil
import time
from pathlib import Path

from PIL import Image

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.tools.merge import merge, newest_export
from trainer_core.tools.tiny.exam import (
    character,
    character_caption,
    character_share,
    obedience,
    unseen_portraits,
)
from trainer_core.tools.tiny.world import SIZE, draw
from trainer_core.training.run import run_training

IMAGES = 16
SEED = 7
CHARACTER_PICTURES = 12
OTHER_PICTURES = 12
NAME = "nekorin"
MARKER = ".newbie-demo"


def demo_config(base: Path, folder: Path) -> TrainConfig:
    """The settings of the demo's training; an ordinary config for a CPU and the toy base."""
    first, second = (character_caption(character(p)) for p in unseen_portraits(2, SEED + 1))
    return TrainConfig(
        base_model_path=str(base),
        train_data_dir=str(folder / "data"),
        output_dir=str(folder),
        output_name=NAME,
        resolution=SIZE,
        train_batch_size=4,
        num_epochs=100,
        learning_rate=1.5e-3,
        lr_scheduler="cosine",
        lr_warmup_steps=10,
        optimizer_type="AdamW",
        mixed_precision="no",
        gradient_checkpointing=False,
        device="cpu",
        lora_rank=16,
        lora_alpha=16.0,
        lora_target_modules=["attention.qkv", "attention.out", "feed_forward.w1", "feed_forward.w2", "feed_forward.w3"],
        lora_dropout=0.0,
        caption_dropout_rate=0.0,
        save_epochs_interval=50,
        sample_prompts=[first, second],
        sample_every_n_epochs=25,
    )


def draw_data(folder: Path) -> None:
    """Sixteen captioned drawings in `folder`/1_nekorin, as anyone would put them there."""
    place = folder / f"1_{NAME}"
    place.mkdir(parents=True, exist_ok=True)
    for number, portrait in enumerate(unseen_portraits(IMAGES, SEED)):
        shown = character(portrait)
        draw(shown, number).save(place / f"{number:02d}.png")
        (place / f"{number:02d}.txt").write_text(character_caption(shown) + "\n", encoding="utf-8")


def contact_sheet(rows: list[list[Image.Image]], file: Path) -> None:
    """Rows of pictures, one under the other."""
    sheet = Image.new("RGB", (max(map(len, rows)) * SIZE, len(rows) * SIZE), "white")
    for y, row in enumerate(rows):
        for x, image in enumerate(row):
            sheet.paste(image, (x * SIZE, y * SIZE))
    sheet.save(file)


def _make_room(folder: Path, keep: bool) -> None:
    """Clear an earlier demo away; anything else that is in the way stays. Raises UserError `output_exists`."""
    marker = folder / MARKER
    if folder.exists() and any(folder.iterdir()) and not marker.exists():
        raise UserError(
            "output_exists",
            f"{folder} holds files that no demo made; nothing was touched.",
            ["Choose another folder with --output."],
        )
    if folder.exists() and not keep:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    marker.write_text("Made by the demo; a new demo removes this folder.\n", encoding="utf-8")


def run_demo(base: Path, folder: Path, *, keep: bool = False) -> dict[str, float]:
    """Run everything, print what happened and return the figures (shares 0 to 1, seconds)."""
    started = time.monotonic()
    _make_room(folder, keep)
    draw_data(folder / "data")
    print(f"Drew {IMAGES} pictures of a new character into {folder / 'data'}; its trigger word is '{NAME}'.")
    before, pictures_before = character_share(base, (), count=CHARACTER_PICTURES, seed=SEED)
    print(
        f"Before training, the base shows the character in {before:.0%} of {CHARACTER_PICTURES} pictures.",
        flush=True,
    )
    run_training(demo_config(base, folder))
    lora = newest_export(folder / NAME)
    loras = ((lora, 1.0),)
    after, pictures_after = character_share(base, loras, count=CHARACTER_PICTURES, seed=SEED)
    others, pictures_others = obedience(base, loras, count=OTHER_PICTURES, seed=SEED)
    merged = folder / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    merge(base, loras, merged, lambda name, done, total: None)
    sheet = folder / "demo.png"
    drawn = [Image.open(file).convert("RGB") for file in sorted((folder / "data").rglob("*.png"))]
    contact_sheet([drawn[:CHARACTER_PICTURES], pictures_before, pictures_after, pictures_others], sheet)
    seconds = time.monotonic() - started
    print(f"""
After training, the character is there in {after:.0%} of {CHARACTER_PICTURES} pictures (before: {before:.0%}).
Prompts without the trigger word are obeyed: {others}.

Pictures     {sheet}
             (rows: drawn for training; before; after; other prompts after)
LoRA         {lora}
Merged model {merged}
Run folder   {folder / NAME} (losses in events.jsonl, pictures in samples/)
Took {seconds:.0f} s.""")
    figures = {"before": before, "after": after, "others": others.mean, "seconds": seconds}
    write_json_atomic(folder / "figures.json", figures)
    return figures
