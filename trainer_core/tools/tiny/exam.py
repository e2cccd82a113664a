"""Asks a model for pictures and reads with the probes whether it obeyed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from trainer_core.tools.generate import PictureRequest, generate
from trainer_core.tools.tiny.character import character, character_caption, unseen_portraits
from trainer_core.tools.tiny.probes import READERS, cat_ears, hair_halves
from trainer_core.tools.tiny.world import (
    SIZE,
    tag_caption,
    xml_caption,
)
from trainer_core.training.sampling import SampleSettings

LORAS = Sequence[tuple[Path, float]]


@dataclass(frozen=True)
class AttributeScores:
    """Share of pictures, 0 to 1, in which each asked attribute was found."""

    shares: dict[str, float]
    pictures: int

    @property
    def mean(self) -> float:
        return sum(self.shares.values()) / len(self.shares)

    def __str__(self) -> str:
        listing = ", ".join(f"{name} {share:.0%}" for name, share in self.shares.items())
        return f"{self.mean:.0%} of {self.pictures} pictures x {len(self.shares)} attributes ({listing})"


def request_for(prompt: str, seed: int) -> PictureRequest:
    settings = SampleSettings(
        prompt=prompt, negative_prompt="", width=SIZE, height=SIZE, steps=12, cfg=4.5, shift=6.0, seed=seed
    )
    return PictureRequest(settings=settings)


def pictures(base: Path, loras: LORAS, prompts: Sequence[str], seed: int) -> list[Image.Image]:
    """One picture of each prompt, seeds counting up from `seed`, on the CPU."""
    made: list[Image.Image] = []
    requests = [request_for(prompt, seed + i) for i, prompt in enumerate(prompts)]
    generate(base, loras, requests, device=torch.device("cpu"), generated=lambda _, request, image: made.append(image))
    return made


def obedience(base: Path, loras: LORAS, *, count: int, seed: int) -> tuple[AttributeScores, list[Image.Image]]:
    """Ask for `count` unseen combinations, every other one in XML, and read each attribute back."""
    asked = unseen_portraits(count, seed)
    prompts = [xml_caption(p) if i % 2 else tag_caption(p) for i, p in enumerate(asked)]
    made = pictures(base, loras, prompts, seed)
    right: Counter[str] = Counter()
    for portrait, image in zip(asked, made, strict=True):
        right.update(name for name, reader in READERS.items() if reader(image) == getattr(portrait, name))
    return AttributeScores({name: right[name] / count for name in READERS}, count), made


def is_character(image: Image.Image) -> bool:
    return cat_ears(image) and hair_halves(image) == ("black", "red")


def character_share(base: Path, loras: LORAS, *, count: int, seed: int) -> tuple[float, list[Image.Image]]:
    """Share of pictures asked for by the trigger word that show the character."""
    asked = [character(p) for p in unseen_portraits(count, seed + 1)]
    made = pictures(base, loras, [character_caption(p) for p in asked], seed)
    return sum(map(is_character, made)) / count, made
