"""`demo`: the main job on the built-in base. Sixteen drawings of a character the base has never seen, a LoRA
trained on them by the ordinary trainer, pictures before and after read by the probes, and a merged model."""

import shutil
import time
from pathlib import Path

from PIL import Image

from trainer_core.contracts.config import TrainConfig, parse_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.planning.demo import NAME, demo_values
from trainer_core.planning.lora_facts import newest_export
from trainer_core.tools.merge import merge
from trainer_core.tools.tiny.character import IMAGES, SEED, draw_data
from trainer_core.tools.tiny.exam import character_share, obedience
from trainer_core.tools.tiny.world import SIZE
from trainer_core.training.run import run_training

CHARACTER_PICTURES = 12
OTHER_PICTURES = 12
MARKER = ".newbie-demo"


def demo_config(base: Path, folder: Path) -> TrainConfig:
    """The settings of the demo's training; an ordinary config for a CPU and the toy base."""
    places = {"base_model_path": str(base), "train_data_dir": str(folder / "data"), "output_dir": str(folder)}
    return parse_config({**demo_values(), **places})


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
