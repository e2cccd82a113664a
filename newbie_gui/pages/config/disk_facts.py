"""What a forecast needs from disk beside the settings themselves: data set, base model, pace, an earlier run."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newbie_gui.pages.config.lookup import Answer, Lookup
from trainer_core.contracts.base_part import BASE_OPTIONS
from trainer_core.contracts.config import TrainConfig, load_config
from trainer_core.contracts.datafacts import DataFacts
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir
from trainer_core.dataset.facts import facts_of
from trainer_core.dataset.scan import Scan, scan_dataset
from trainer_core.planning.base import BaseSizes, read_base
from trainer_core.planning.measured import MeasuredStep, find, fit_folder
from trainer_core.planning.reached import Reached, reached
from trainer_core.planning.speed import SAME, Speed, known_speed

_DATA = (
    "train_data_dir", "strict_data", "validation_data_dir", "validation_split", "seed", "resolution", "enable_bucket",
    "min_bucket_reso", "max_bucket_reso", "bucket_reso_step", "bucket_upscale", "shuffle_caption", "keep_tokens",
    "keep_tokens_separator", "caption_tag_dropout_rate", "caption_variants", "enable_wildcard",
    "gemma3_prompt", "system_prompt_tags", "system_prompt_xml",
)  # fmt: skip
_FILES = ("base_model_path", "train_data_dir", "validation_data_dir", "resume_from_lora")
_RUN = ("output_dir", "output_name")
_PACE = (*_RUN, *SAME)

Key = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class ExistingRun:
    """A run that is there already under the name in the settings: what it was begun with, None where unreadable.

    Attributes:
        reached: its newest checkpoint, None without any.
    """

    config: TrainConfig | None
    reached: Reached | None

    @property
    def checkpoints(self) -> bool:
        return self.reached is not None


class DiskFacts:
    """Asks in the background; every method answers at once with what is known."""

    def __init__(self) -> None:
        self._scan: tuple[Key, Scan] | None = None
        self._facts: tuple[Key, DataFacts] | None = None
        self._data: Lookup[DataFacts] = Lookup(fresh_s=3.0)
        self._base: Lookup[BaseSizes] = Lookup(fresh_s=10.0)
        self._pace: Lookup[Speed | None] = Lookup(fresh_s=30.0)
        self._measured: Lookup[MeasuredStep | None] = Lookup(fresh_s=3.0)
        self._missing: Lookup[frozenset[str]] = Lookup(fresh_s=3.0)
        self._run: Lookup[ExistingRun | None] = Lookup(fresh_s=3.0)

    def data(self, config: TrainConfig) -> Answer[DataFacts]:
        """The data set of ``config``; its problem is a UserError of the scan."""
        key = _key(_DATA, config)
        return self._data.get(key, lambda: self._find_data(key, config))

    def base(self, config: TrainConfig) -> Answer[BaseSizes]:
        return self._base.get(_key(BASE_OPTIONS, config), lambda: read_base(config))

    def pace(self, config: TrainConfig) -> Answer[Speed | None]:
        return self._pace.get(_key(_PACE, config), lambda: known_speed(config))

    def measured(self, config: TrainConfig, key: str) -> Answer[MeasuredStep | None]:
        """What Check fit found for settings of this key (see `fit_key`)."""
        folder = fit_folder(config)
        return self._measured.get((folder, key), lambda: find(folder, key))

    def missing(self, config: TrainConfig) -> Answer[frozenset[str]]:
        """The settings whose path is not there."""
        return self._missing.get(_key(_FILES, config), lambda: _missing(config))

    def run(self, config: TrainConfig) -> Answer[ExistingRun | None]:
        return self._run.get(_key(_RUN, config), lambda: _begun(config))

    def _find_data(self, key: Key, config: TrainConfig) -> DataFacts:
        root = Path(config.train_data_dir)
        # A scan holds whatever the sizes asked for: typing another resolution must not read 5,000 headers again.
        state = (str(root), config.strict_data, folder_state(root))
        if self._scan is None or self._scan[0] != state:
            self._scan = (state, scan_dataset(root, strict=config.strict_data))
        # To find what is held out may mean to read many files whole.
        asked = (key, state, folder_state(Path(config.validation_data_dir)) if config.validation_data_dir else ())
        if self._facts is None or self._facts[0] != asked:
            self._facts = (asked, facts_of(self._scan[1].items, config))
        return self._facts[1]


def folder_state(root: Path) -> Key:
    """Changes with every file that comes, goes or is replaced below ``root``."""
    return tuple((folder, os.stat(folder).st_mtime_ns) for folder, _, _ in os.walk(root))


def _key(names: tuple[str, ...], config: TrainConfig) -> Key:
    return tuple(getattr(config, name) for name in names)


def _missing(config: TrainConfig) -> frozenset[str]:
    return frozenset(name for name in _FILES if (path := getattr(config, name)) and not Path(path).exists())


def _begun(config: TrainConfig) -> ExistingRun | None:
    run = RunDir.of(config)
    if not run.config_file.exists():
        return None
    found = reached(run)
    try:
        return ExistingRun(config=load_config(run.config_file), reached=found)
    except UserError:
        return ExistingRun(config=None, reached=found)
