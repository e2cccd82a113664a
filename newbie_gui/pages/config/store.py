"""Saved settings: TOML files in the workspace's folder of configs."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from newbie_gui.pages.config.form import default_values
from trainer_core.contracts.config import IGNORED_KEYS, flattened, options
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import whole_file, write_text_atomic
from trainer_core.contracts.toml_text import read_toml, toml_value, values_text
from trainer_core.contracts.trash import to_trash
from trainer_core.contracts.user_path import checked_name
from trainer_core.contracts.workspace import Workspace

# A config is a few kilobytes; what is larger is something else and would only block the page.
MAX_BYTES = 512 * 1024


@dataclass(frozen=True, kw_only=True)
class LoadedSettings:
    """Values by name, defaults where the file has none, and the keys that are no settings."""

    values: Mapping[str, Any]
    unknown: tuple[str, ...]


class ConfigStore:
    """The files ``NAME.toml`` of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._folder = workspace.configs

    def names(self) -> list[str]:
        """Every saved config by name."""
        return sorted((file.stem for file in self._folder.glob("*.toml") if file.name[0] != "."), key=str.casefold)

    def path(self, name: str) -> Path:
        """Raises UserError `name_invalid` for what is no plain file name."""
        return self._folder / f"{checked_name(name)}.toml"

    def exists(self, name: str) -> bool:
        return self.path(name).exists()

    def save(self, name: str, values: Mapping[str, Any], *, overwrite: bool = False) -> Path:
        """Write the settings, also where some are not valid yet (the file then says so to whoever trains with it).

        Raises:
            UserError: `name_invalid`; `config_exists`, unless ``overwrite``.
            OSError: the disk refused.
        """
        file = self.path(name)
        if file.exists() and not overwrite:
            raise UserError("config_exists", f"{name} exists already; nothing was written.", ["Choose another name."])
        self._folder.mkdir(parents=True, exist_ok=True)
        write_text_atomic(file, toml_of(values))
        return file

    def load(self, name: str) -> LoadedSettings:
        """Raises UserError `config_missing`, and ConfigError where the file is no TOML."""
        return read_config(self._existing(name), default_values(self._workspace))

    def duplicate(self, name: str) -> str:
        """Copy a file, whatever it holds, under the next free name, ``NAME-2``, and return that."""
        file = self._existing(name)
        stem, number = name[:100], 2
        while self.exists(f"{stem}-{number}"):
            number += 1
        with whole_file(self.path(f"{stem}-{number}")) as copy:
            shutil.copyfile(file, copy)
        return f"{stem}-{number}"

    def delete(self, name: str) -> None:
        """Move a file to the trash."""
        to_trash(self._workspace.trash, self._existing(name))

    def _existing(self, name: str) -> Path:
        file = self.path(name)
        if not file.is_file():
            raise UserError("config_missing", f"There are no saved settings named {name}.", ["Reload the page."])
        return file


def read_config(file: Path, defaults: Mapping[str, Any]) -> LoadedSettings:
    """A config file as values for the form, over ``defaults``; bad ones stay, for the form to show.

    Raises as `read_values`.
    """
    flat, _ = flattened(read_values(file))
    known = {spec.name for spec in options()}
    unknown = tuple(name for name in flat if name not in known and name not in IGNORED_KEYS)
    return LoadedSettings(values={**defaults, **{name: flat[name] for name in flat if name in known}}, unknown=unknown)


def read_values(file: Path) -> dict[str, Any]:
    """What a TOML file holds. Raises UserError `config_large`, and ConfigError where it is no TOML."""
    if file.is_file() and file.stat().st_size > MAX_BYTES:
        limit = MAX_BYTES // 1024
        raise UserError("config_large", f"{file.name} is over {limit} KiB; it is no config.")
    return read_toml(file)


def toml_of(values: Mapping[str, Any]) -> str:
    """The settings as TOML; a setting that is empty, or that TOML cannot hold, is left out, for its default."""
    specs = [spec for spec in options() if fits_toml(values.get(spec.name))]
    return values_text(specs, values)


def fits_toml(value: object) -> bool:
    """Whether a file of settings can hold it; an empty field's None it cannot."""
    try:
        toml_value(value)
    except TypeError:
        return False
    return True
