"""The strategies that come with the program, and what a new form starts with because of them; no Gradio here."""

from collections.abc import Mapping
from functools import cache
from typing import Any

from trainer_core.contracts.config import options
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.hardware import Machine
from trainer_core.planning.presets import Choice, Preset, choose, load_presets


@cache
def presets() -> tuple[Preset, ...]:
    """Read once: they are part of the program, and every check of the form and each tick of the header needs them."""
    return load_presets()


def base_of(preset: Preset) -> dict[str, Any]:
    """The demo suits the built-in base and nothing else; all others leave the base to the user."""
    return {"base_model_path": str(TINY_BASE)} if preset.device == "cpu" else {}


def taken_back(preset: Preset, values: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults for what another strategy put into a form's values and this one does not name."""
    mine = {**preset.values, **base_of(preset)}
    others = [{**other.values, **base_of(other)} for other in presets() if other is not preset]
    left = {
        name for theirs in others for name, value in theirs.items() if name not in mine and values.get(name) == value
    }
    return {spec.name: "" if spec.required else spec.default for spec in options() if spec.name in left}


def proposed_values(choice: Choice) -> dict[str, Any]:
    """The settings of the strategy that is proposed."""
    return {**choice.preset.values, **choice.values, **base_of(choice.preset)}


def starting_values(machine: Machine) -> dict[str, Any]:
    """What a new form gets beside the defaults: the proposed strategy's values."""
    return proposed_values(choose(machine, presets()))
