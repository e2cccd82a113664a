"""`demo`: the main job on the built-in base. Sixteen drawings of a character the base has never seen, a LoRA
trained on them by the ordinary trainer, pictures before and after read by the probes, and a merged model."""

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from trainer_core.contracts.config import TrainConfig, parse_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import lock_now, write_json_atomic
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.demo import NAME, demo_values
from trainer_core.planning.lora_facts import newest_export
from trainer_core.tools.merge import merge
from trainer_core.tools.outputs import make_folder, writing
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


@contextmanager
def _held(folder: Path, keep: bool) -> Iterator[None]:
    """Makes the demo's folder, or empties that of an earlier demo, and keeps other demos out of it.

    Raises UserError `output_exists` where anything else is in the way, `demo_busy`, `run_busy`, `output_failed`.
    """
    marker = folder / MARKER
    make_folder(folder)
    if any(folder.iterdir()) and not marker.exists():
        raise UserError(
            "output_exists",
            f"{folder} holds files that no demo made; nothing was touched.",
            ["Choose another folder with --output."],
        )
    with writing(marker):
        held = open(marker, "ab")
    with held as lock:
        if not lock_now(lock):
            raise UserError(
                "demo_busy",
                f"Another demo is at work in {folder}.",
                ["Wait for it or stop it first.", "For a second one choose another folder with --output."],
            )
        if not marker.stat().st_size:
            lock.write(b"Made by the demo; a new demo empties this folder.\n")
            lock.flush()
        if not keep:
            _require_no_trainer(folder / NAME)
            _empty(folder, marker)
        yield


def _require_no_trainer(run: Path) -> None:
    """Raises UserError `run_busy` where a command of its own goes on with an earlier demo's run."""
    if run.is_dir():
        with RunDir(run).lock():
            pass


def _empty(folder: Path, marker: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != marker:
            path.unlink()


def run_demo(base: Path, folder: Path, *, keep: bool = False) -> dict[str, float] | None:
    """Run everything, print what happened and return the figures (shares 0 to 1, seconds); None where it was stopped.

    keep: go on with an earlier demo in `folder`. Raises UserError `output_exists`, `output_failed`, `demo_busy`, and
    what training raises.
    """
    with _held(folder, keep):
        return _whole_way(base, folder)


def _whole_way(base: Path, folder: Path) -> dict[str, float] | None:
    started = time.monotonic()
    draw_data(folder / "data")
    print(f"Drew {IMAGES} pictures of a new character into {folder / 'data'}; its trigger word is '{NAME}'.")
    before, pictures_before = character_share(base, (), count=CHARACTER_PICTURES, seed=SEED)
    print(
        f"Before training, the base shows the character in {before:.0%} of {CHARACTER_PICTURES} pictures.",
        flush=True,
    )
    if run_training(demo_config(base, folder)) == "stopped":
        return None
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
