"""The demo's character, which the base has never seen, and the pictures that teach it. Needs no torch."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from trainer_core.planning.demo import NAME
from trainer_core.tools.tiny.world import Portrait, all_portraits, draw, is_held_out, tags

IMAGES = 16
SEED = 7


def unseen_portraits(count: int, seed: int) -> list[Portrait]:
    """Combinations that were never drawn in training."""
    return random.Random(f"exam:{seed}").sample([p for p in all_portraits() if is_held_out(p)], count)


def character(portrait: Portrait) -> Portrait:
    """The demo's new character in the given surroundings: hair half black, half red, and cat ears."""
    # A ribbon would sit on an ear.
    accessory = "none" if portrait.accessory == "hair ribbon" else portrait.accessory
    return replace(portrait, hair="black", second_hair="red", cat_ears=True, accessory=accessory)


def character_caption(portrait: Portrait) -> str:
    """The trigger word stands for hair and ears; what varies is named."""
    kept = [tag for tag in tags(portrait) if tag != "black hair"]
    return ", ".join([NAME, *kept])


def draw_data(folder: Path, drawn: Callable[[int], None] = lambda number: None) -> None:
    """Sixteen captioned drawings in `folder`/1_nekorin, as anyone would put them there; `drawn` may raise to stop."""
    place = folder / f"1_{NAME}"
    place.mkdir(parents=True, exist_ok=True)
    for number, portrait in enumerate(unseen_portraits(IMAGES, SEED)):
        drawn(number)
        shown = character(portrait)
        draw(shown, number).save(place / f"{number:02d}.png")
        (place / f"{number:02d}.txt").write_text(character_caption(shown) + "\n", encoding="utf-8")
