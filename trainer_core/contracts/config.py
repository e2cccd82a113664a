"""Reading, checking, comparing and writing the configuration of a training (see `TrainConfig`)."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.errors import ConfigError
from trainer_core.contracts.options import OptionSpec, Rerun, specs_of
from trainer_core.contracts.toml_text import read_toml, template_text, values_text
from trainer_core.contracts.train_config import SYSTEM_PROMPT_TAGS, SYSTEM_PROMPT_XML, TrainConfig
from trainer_core.contracts.validation import all_problems

__all__ = [
    "SYSTEM_PROMPT_TAGS",
    "SYSTEM_PROMPT_XML",
    "Change",
    "TrainConfig",
    "changes",
    "config_template",
    "load_config",
    "options",
    "parse_config",
    "to_toml",
]

_INTRODUCTION = """\
Every setting of the trainer, with its default value. Copy this file and set the required ones.
Paths that are not absolute mean the current folder.
On Windows write a path between single quotes, 'D:\\my data\\images', or with forward slashes."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """An option whose value differs between two configurations, and what that does to a begun run."""

    name: str
    old: object
    new: object
    rerun: Rerun


def load_config(path: Path) -> TrainConfig:
    """The configuration in a TOML file (UTF-8, with or without BOM). Nothing is written.

    Raises:
        ConfigError: the file cannot be read, is not TOML (with its line), or holds bad values (all of them).
    """
    return parse_config(read_toml(path), source=str(path))


def parse_config(values: Mapping[str, object], *, source: str = "") -> TrainConfig:
    """A configuration from values by option name; ``source`` names their origin in the message.

    Raises:
        ConfigError: with every problem; unknown names come with the nearest known one.
    """
    good, problems = all_problems(options(), values)
    if problems:
        raise ConfigError(problems, source)
    return TrainConfig(**good)


def to_toml(cfg: TrainConfig) -> str:
    """The configuration as TOML with every option spelled out; `parse_config` of it gives an equal one."""
    return values_text(options(), vars(cfg))


def config_template() -> str:
    """The commented template of every option, the text of ``config_template.toml``."""
    return template_text(options(), _INTRODUCTION)


def options() -> tuple[OptionSpec, ...]:
    """Every option, in the order of the template."""
    return specs_of(TrainConfig)


def changes(old: TrainConfig, new: TrainConfig) -> tuple[Change, ...]:
    """The options in which ``new`` differs from ``old``, in their order."""
    return tuple(
        Change(
            name=spec.name,
            old=getattr(old, spec.name),
            new=getattr(new, spec.name),
            rerun=spec.rerun,
        )
        for spec in options()
        if getattr(old, spec.name) != getattr(new, spec.name)
    )
