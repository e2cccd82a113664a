"""Which LoRAs a transformer has merged in already, by its own account in the header of its weights."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.planning.headers import HeaderProblem, read_header
from trainer_core.planning.lora_facts import PEFT_WEIGHTS
from trainer_core.planning.part_check import files_of

_KEY = "newbie_merged_loras"


@dataclass(frozen=True, kw_only=True)
class MergedLora:
    """name: of its file, a PEFT folder's own."""

    name: str
    strength: float


def merged_lora(lora: Path, strength: float) -> MergedLora:
    """``lora``: its weight file, or its PEFT folder."""
    return MergedLora(name=lora.parent.name if lora.name in PEFT_WEIGHTS else lora.name, strength=strength)


def merged_into(transformer: Path) -> tuple[MergedLora, ...]:
    """Those that went first first; none where the header names none or cannot be read."""
    try:
        told = (read_header(file).metadata.get(_KEY) for file in files_of("transformer", transformer))
        entries = json.loads(next((text for text in told if text), "[]"))
        return tuple(MergedLora(name=str(entry["name"]), strength=float(entry["strength"])) for entry in entries)
    except (UserError, HeaderProblem, OSError, ValueError, TypeError, KeyError, RecursionError):
        return ()


def account_of(merged: Iterable[MergedLora]) -> Mapping[str, str]:
    """The metadata that `merged_into` reads; empty for none."""
    entries = [{"name": one.name, "strength": one.strength} for one in merged]
    return {_KEY: json.dumps(entries, ensure_ascii=False)} if entries else {}


def merged_again(transformer: Path, loras: Sequence[tuple[Path, float]]) -> list[str]:
    """A sentence for each of the LoRAs (weight file or PEFT folder, strength) that the transformer holds already."""
    before: dict[str, float] = {}
    for one in merged_into(transformer) if loras else ():
        # What was taken out again is not in there; and 0.1 + 0.2 - 0.3 is not 0.
        before[one.name] = round(before.get(one.name, 0.0) + one.strength, 6)
    asked = [merged_lora(lora, strength) for lora, strength in loras]
    return [
        f"{transformer} has {one.name} merged in already (strength {before[one.name]:g}): it is applied once more. "
        "If that is not meant, leave the LoRA out, or take the base without it."
        for one in asked
        if before.get(one.name, 0.0) * one.strength > 0
    ]
