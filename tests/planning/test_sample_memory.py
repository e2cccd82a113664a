"""How a base is held while pictures are made outside a run."""

from dataclasses import replace
from pathlib import Path

import pytest

from trainer_core.planning import sample_memory
from trainer_core.planning.base_parts import BaseFolder
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.phases import GIB
from trainer_core.planning.sample_memory import BasePrecision, choose_precision

NOWHERE = Path("/nowhere")
# Parts that are not there count as released.
RELEASED = BaseFolder(root=NOWHERE, transformer=NOWHERE, text_encoder=NOWHERE, clip_model=NOWHERE, vae=NOWHERE)


def precision(gib: float, *, side: int = 1024, loras: float = 0, old: bool = False) -> BasePrecision:
    sizes = {"lora_bytes": int(loras * GIB), "free": int(gib * GIB)}
    return choose_precision(RELEASED, (side, side), 512, old_card=old, **sizes)


@pytest.mark.parametrize(
    ("gib", "gemma", "transformer"),
    [(23, "no", "no"), (11, "no", "no"), (8.5, "no", "int8"), (7, "int8", "int8"), (5.2, "int8", "int8")],
)
def test_as_exact_as_the_card_allows(gib: float, gemma: str, transformer: str):
    found = precision(gib)
    assert (found.gemma, found.transformer, found.swap > 0) == (gemma, transformer, gib < 6)


def test_on_less_more_blocks_wait_in_main_memory_and_never_more_than_there_are():
    swaps = [precision(gib).swap for gib in (5.2, 4, 3, 2, 0.5)]
    assert swaps == sorted(swaps) and 4 <= swaps[0] < swaps[1] < 36 and swaps[-1] == 36


def test_larger_pictures_loras_and_an_old_card_need_more():
    plain = precision(4).swap
    assert plain < min(precision(4, side=1280).swap, precision(4, loras=0.5).swap, precision(4, old=True).swap)
    # Beside an exact transformer no LoRA lies: it is in the weights.
    assert precision(9, loras=1) == BasePrecision()


def test_without_bitsandbytes_nothing_is_held_in_4_bits(monkeypatch: pytest.MonkeyPatch):
    assert precision(4).gemma == "nf4"
    monkeypatch.setattr(sample_memory, "find_spec", lambda name: None)
    assert precision(4).gemma == "int8"


def test_the_built_in_base_fits_anywhere():
    parts = {name: TINY_BASE / name for name in ("transformer", "text_encoder", "clip_model", "vae")}
    small = replace(RELEASED, root=TINY_BASE, **parts)
    assert choose_precision(small, (128, 128), 512, lora_bytes=0, free=GIB, old_card=True) == BasePrecision()


def test_what_is_done_is_said():
    assert BasePrecision().sentence(GIB) == ""
    said = BasePrecision(gemma="nf4", transformer="int8", swap=12).sentence(4 * GIB)
    assert said == (
        "As the GPU has 4.0 GiB free, Gemma3 is held in 4 bits a number and the transformer in 8, 12 of its blocks in "
        "main memory."
    )
    assert BasePrecision(transformer="int8").sentence(GIB).endswith("in 16 bits a number and the transformer in 8.")
