"""Asks a model for pictures and reads with the probes whether it obeyed."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from trainer_core.tools.painter import paint
from trainer_core.tools.tiny.probes import READERS, cat_ears, hair_halves
from trainer_core.tools.tiny.world import (
    SIZE,
    Portrait,
    all_portraits,
    is_held_out,
    tag_caption,
    tags,
    xml_caption,
)
from trainer_core.training.sampling import SampleSettings

TRIGGER = "nekorin"
LORAS = Sequence[tuple[Path, float]]


@dataclass(frozen=True)
class Obedience:
    """Share of pictures, 0 to 1, in which each asked attribute was found."""

    shares: dict[str, float]
    pictures: int

    @property
    def mean(self) -> float:
        return sum(self.shares.values()) / len(self.shares)

    def __str__(self) -> str:
        listing = ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        return f"{self.mean:.0%} of {self.pictures} pictures x {len(self.shares)} attributes ({listing})"


def unseen_portraits(count: int, seed: int) -> list[Portrait]:
    """Combinations that were never drawn in training."""
    return random.Random(f"exam:{seed}").sample([p for p in all_portraits() if is_held_out(p)], count)


def settings_for(prompt: str, seed: int) -> SampleSettings:
    return SampleSettings(
        prompt=prompt, negative_prompt="", width=SIZE, height=SIZE, steps=24, cfg=4.5, shift=6.0, seed=seed
    )


def pictures(base: Path, loras: LORAS, prompts: Sequence[str], seed: int) -> list[Image.Image]:
    """One picture of each prompt, seeds counting up from `seed`, on the CPU."""
    made: list[Image.Image] = []
    wanted = [settings_for(prompt, seed + i) for i, prompt in enumerate(prompts)]
    paint(
        base,
        loras,
        wanted,
        device=torch.device("cpu"),
        painted=lambda index, settings, image: made.append(image),
    )
    return made


def obedience(base: Path, loras: LORAS, *, count: int, seed: int) -> tuple[Obedience, list[Image.Image]]:
    """Ask for `count` unseen combinations, every other one in XML, and read each attribute back."""
    asked = unseen_portraits(count, seed)
    prompts = [xml_caption(p) if i % 2 else tag_caption(p) for i, p in enumerate(asked)]
    made = pictures(base, loras, prompts, seed)
    right: Counter[str] = Counter()
    for portrait, image in zip(asked, made, strict=True):
        right.update(name for name, reader in READERS.items() if reader(image) == getattr(portrait, name))
    return Obedience({name: right[name] / count for name in READERS}, count), made


def character(portrait: Portrait) -> Portrait:
    """The demo's new character in the given surroundings: hair half black, half red, and cat ears."""
    # A ribbon would sit on an ear.
    accessory = "none" if portrait.accessory == "hair ribbon" else portrait.accessory
    return replace(portrait, hair="black", second_hair="red", cat_ears=True, accessory=accessory)


def character_caption(portrait: Portrait) -> str:
    """The trigger word stands for hair and ears; what varies is named."""
    kept = [tag for tag in tags(portrait) if tag != "black hair"]
    return ", ".join([TRIGGER, *kept])


def is_character(image: Image.Image) -> bool:
    return cat_ears(image) and hair_halves(image) == ("black", "red")


def character_share(base: Path, loras: LORAS, *, count: int, seed: int) -> tuple[float, list[Image.Image]]:
    """Share of pictures asked for by the trigger word that show the character."""
    asked = [character(p) for p in unseen_portraits(count, seed + 1)]
    made = pictures(base, loras, [character_caption(p) for p in asked], seed)
    return sum(map(is_character, made)) / count, made
