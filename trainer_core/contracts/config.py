"""Reading, checking, comparing and writing the configuration of a training (see `TrainConfig`)."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer_core.contracts.base_part import BASE_OPTIONS, BASE_PARTS, PART_OPTIONS, is_elsewhere
from trainer_core.contracts.errors import ConfigError, Problem, UserError
from trainer_core.contracts.foreign import FOREIGN_KEYS
from trainer_core.contracts.options import OptionSpec, Rerun, checked, specs_of
from trainer_core.contracts.system_prompts import SYSTEM_PROMPT_TAGS, SYSTEM_PROMPT_XML
from trainer_core.contracts.toml_text import read_toml, template_text, values_text
from trainer_core.contracts.train_config import TrainConfig
from trainer_core.contracts.validation import all_problems

__all__ = [
    "SYSTEM_PROMPT_TAGS",
    "SYSTEM_PROMPT_XML",
    "Change",
    "LoadedConfig",
    "TrainConfig",
    "changes",
    "config_template",
    "flattened",
    "load_config",
    "load_with_notes",
    "named_parts",
    "options",
    "parse_config",
    "refused",
    "require_none_refused",
    "to_toml",
    "with_full_paths",
]

# The upstream trainer's files put their keys under these two headings; the names are the same ones.
SECTIONS = ("Model", "Optimization")
# Keys of existing files that ask for nothing we do: accepted, and said once.
IGNORED_KEYS = MappingProxyType(
    {
        "trust_remote_code": "ignored: no code from a model's folder is ever run here, so nothing has to be trusted",
        # These two are about the other trainer's loading; what is learnt does not depend on them.
        **{key: f"ignored: {FOREIGN_KEYS[key].why}" for key in ("dataloader_prefetch_factor", "cache_in_memory")},
    }
)

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


@dataclass(frozen=True, kw_only=True)
class LoadedConfig:
    """A configuration and what should be said about the file it came from, one sentence each."""

    config: TrainConfig
    notes: tuple[str, ...]


def load_config(path: Path) -> TrainConfig:
    """The configuration in a TOML file (UTF-8, with or without BOM). Nothing is written.

    Raises:
        ConfigError: the file cannot be read, is not TOML (with its line), or holds bad values (all of them).
    """
    return load_with_notes(path).config


def load_with_notes(path: Path) -> LoadedConfig:
    """Like `load_config`, with what was ignored and why."""
    values = read_toml(path)
    flat, _ = flattened(values)
    notes = tuple(f"{name} is {reason}." for name, reason in IGNORED_KEYS.items() if name in flat)
    return LoadedConfig(config=parse_config(values, source=str(path)), notes=notes)


def parse_config(values: Mapping[str, object], *, source: str = "") -> TrainConfig:
    """A configuration from values by option name; ``source`` names their origin in the message.

    The sections [Model] and [Optimization] are opened, as the upstream trainer's files have them.

    Raises:
        ConfigError: with every problem; unknown names come with the nearest known one.
    """
    flat, twice = flattened(values)
    good, problems = all_problems(options(), {name: v for name, v in flat.items() if name not in IGNORED_KEYS})
    if twice or problems:
        raise ConfigError([*twice, *problems], source)
    return TrainConfig(**good)


def flattened(values: Mapping[str, object]) -> tuple[dict[str, object], list[Problem]]:
    """``values`` with [Model] and [Optimization] opened, and a problem for each name that is set twice."""
    flat = {name: value for name, value in values.items() if name not in SECTIONS}
    problems = []
    for section in SECTIONS:
        inner = values.get(section, {})
        if not isinstance(inner, Mapping):
            problems.append(Problem(field=section, value=inner, message=f"must be a section, written [{section}]"))
            continue
        for name, value in inner.items():
            if name in flat:
                message = f"is set twice, here in [{section}] and elsewhere in the file; keep one"
                problems.append(Problem(field=name, value=value, message=message))
            flat[name] = value
    return flat, problems


def to_toml(cfg: TrainConfig) -> str:
    """The configuration as TOML with every option spelled out; `parse_config` of it gives an equal one."""
    return values_text(options(), vars(cfg))


def with_full_paths(cfg: TrainConfig) -> TrainConfig:
    """The same configuration for whoever reads it from another current folder.

    ``output_dir`` stays as written: the folder of a begun run tells where it is. So do hub ids.
    """
    paths = [spec for spec in options() if spec.rule == "path" and spec.name != "output_dir"]
    full: dict[str, Any] = {spec.name: _full(spec, getattr(cfg, spec.name)) for spec in paths}
    return replace(cfg, **full)


def _full(spec: OptionSpec, text: str) -> str:
    if not text.strip() or (spec.name in PART_OPTIONS and is_elsewhere(text)) or os.path.isabs(text):
        return text
    try:
        return str(checked(spec, str(Path(text).absolute())))
    except ValueError:
        # The current folder's own name is one that no config can hold.
        return text


def named_parts(cfg: TrainConfig) -> dict[str, str]:
    """The parts of the base that are named one by one, as written, by kind."""
    named = {part.kind: getattr(cfg, part.option) for part in BASE_PARTS}
    return {kind: text for kind, text in named.items() if text}


def config_template() -> str:
    """The commented template of every option, the text of ``config_template.toml``."""
    return template_text(options(), _INTRODUCTION)


def options() -> tuple[OptionSpec, ...]:
    """Every option, in the order of the template."""
    return specs_of(TrainConfig)


def changes(old: TrainConfig, new: TrainConfig) -> tuple[Change, ...]:
    """The options in which ``new`` differs from ``old``, in their order; two spellings of one value are no change."""
    return tuple(
        Change(
            name=spec.name,
            old=getattr(old, spec.name),
            new=getattr(new, spec.name),
            rerun=spec.rerun,
        )
        for spec in options()
        if not _same(spec, getattr(old, spec.name), getattr(new, spec.name)) and not _idle(spec.name, old, new)
    )


def _idle(name: str, old: TrainConfig, new: TrainConfig) -> bool:
    """True for an option that counts for nothing with the adapter that both have."""
    if name == "lora_alpha":
        return old.adapter_type == new.adapter_type and old.adapter_rank == new.adapter_rank == 0
    other = {"lora_rank": "lokr", "lokr_rank": "lora", "lokr_factor": "lora"}.get(name)
    return old.adapter_type == new.adapter_type == other


def _same(spec: OptionSpec, old: Any, new: Any) -> bool:
    """Also for a path relative and absolute, through a link or moved, and for the targets in another order."""
    if old == new:
        return True
    if spec.rule == "path":
        # "" is no path at all, and not the current folder.
        return bool(old and new) and (_real(old) == _real(new) or _is_moved(spec.name, old, new))
    return spec.name == "lora_target_modules" and set(old) == set(new)


def _is_moved(name: str, old: str, new: str) -> bool:
    """True for what is gone there and is now here; whether it still holds the same, a run sees by the contents."""
    # A base may have another name now: with other contents the run refuses it.
    alike = name in BASE_OPTIONS or Path(old).name == Path(new).name
    return alike and not os.path.exists(old) and os.path.exists(new)


def _real(path: str) -> str:
    return os.path.normcase(os.path.realpath(path))


def refused(changed: Iterable[Change]) -> tuple[Change, ...]:
    """Those that a begun run cannot take."""
    return tuple(change for change in changed if change.rerun == "refuse")


def require_none_refused(changed: Iterable[Change], folder: Path) -> None:
    """Raises UserError `rerun_refused` naming what the begun run in ``folder`` cannot take of these changes."""
    if not (found := refused(changed)):
        return
    listing = "; ".join(f"{change.name}: {change.old!r} -> {change.new!r}" for change in found)
    raise UserError(
        "rerun_refused",
        f"{folder} was trained with other settings that cannot change in between: {listing}.",
        ["Choose another output_name for a new run.", "Or set these back to continue this one."],
    )
