"""The settings that a data set is looked at with: those being typed on the Settings tab, as far as they are valid."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer_core.contracts.config import TrainConfig, parse_config
from trainer_core.contracts.errors import ConfigError

DRAFT_FILE = "draft.json"

_NEEDED = {"base_model_path": ".", "train_data_dir": "."}


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """``has_base``: a base model is named, whose tokens can be counted."""

    config: TrainConfig
    has_base: bool


def wanted_settings(file: Path) -> Wanted:
    """The settings in the Settings tab's draft; defaults for what is missing there or not valid."""
    values = _read(file)
    for _ in range(2):
        try:
            config = parse_config({**_NEEDED, **values})
            return Wanted(config=config, has_base=bool(str(values.get("base_model_path", "")).strip()))
        except ConfigError as error:
            bad = {problem.field for problem in error.problems}
            values = {name: value for name, value in values.items() if name not in bad}
    return Wanted(config=parse_config(_NEEDED), has_base=False)


def _read(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
