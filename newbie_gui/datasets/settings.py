"""The settings that a data set is looked at with: those being typed on the Settings tab, as far as they are valid."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from newbie_gui.draft import usable_config
from trainer_core.contracts.config import TrainConfig, parse_config
from trainer_core.planning.presets import PLACEHOLDERS


@dataclass(frozen=True, kw_only=True)
class ShownSettings:
    """``has_base``: a base model is named, whose tokens can be counted."""

    config: TrainConfig
    has_base: bool


def wanted_settings(draft: Mapping[str, Any], starting: Mapping[str, Any]) -> ShownSettings:
    """The settings that the Settings tab shows: its draft, and ``starting`` for what is missing there.

    Defaults for what is not valid.
    """
    values = {**starting, **draft}
    config, replaced = usable_config(values)
    named = "base_model_path" not in replaced and bool(str(values.get("base_model_path", "")).strip())
    return ShownSettings(config=config or parse_config(PLACEHOLDERS), has_base=config is not None and named)
